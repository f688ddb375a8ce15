// Says which arguments and which disks it was started with, and the time. tests/integration/test_media.py.
#include <ringlet/console.hpp>
#include <ringlet/file.hpp>
#include <ringlet/time.hpp>

using namespace ringlet;

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) print("argument: {}\n", argv[i]);
    char text[64];
    if (auto file = files().open("/medium.txt"))
        if (const auto got = file->read(std::as_writable_bytes(std::span(text))))
            print("root: {}\n", std::string_view(text, *got));
    if (files().stat("/data/lost+found")) print("data: there\n");
    print("clock: {}\nthat is all\n", wall_clock_ns() / 1'000'000'000);
}
