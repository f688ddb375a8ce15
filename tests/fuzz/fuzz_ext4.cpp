// fuzz_ext4: images of several kinds, made by mke2fs when the run begins (RINGLET_FUZZ_IMAGES names a folder of
// others).
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/ext4_attack.hpp"

void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

namespace {

std::vector<std::byte> read(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::vector<char> all((std::istreambuf_iterator<char>(in)), {});
    std::vector<std::byte> bytes(all.size());
    std::memcpy(bytes.data(), all.data(), all.size());
    return bytes;
}

std::vector<std::vector<std::byte>> images() {
    std::vector<std::vector<std::byte>> found;
    if (const char* folder = std::getenv("RINGLET_FUZZ_IMAGES")) {
        for (const auto& e : std::filesystem::directory_iterator(folder)) found.push_back(read(e.path()));
        return found;
    }
    char folder[] = "/tmp/ringlet-fuzz-XXXXXX";
    if (::mkdtemp(folder) == nullptr) std::abort();
    const std::string tree = std::string(folder) + "/tree", image = std::string(folder) + "/image";
    std::filesystem::create_directories(tree + "/d/e");
    for (int i = 0; i < 60; ++i)
        std::ofstream(tree + "/d/file-with-a-name-" + std::to_string(i)) << std::string(i * 97, 'x');
    std::filesystem::create_symlink("d/e", tree + "/link");
    for (const char* options : {"-t ext4 -b 1024 -O ^metadata_csum", "-t ext4 -b 1024 -O ^metadata_csum,inline_data",
                                "-t ext3 -b 1024", "-t ext4 -b 1024"}) {
        std::filesystem::remove(image);
        const std::string command = "PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F " + std::string(options) +
                                    " -N 256 -J size=1 -d " + tree + " " + image + " 4M > /dev/null 2>&1";
        if (std::system(command.c_str()) != 0) std::abort();
        found.push_back(read(image));
    }
    std::filesystem::remove_all(folder);
    return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const ringlet::u8* data, ringlet::usize size) {
    static const auto all = images();
    if (size == 0) return 0;
    ringlet::fuzz::attack_ext4(all[data[0] % all.size()], {data + 1, size - 1}, 40);
    return 0;
}
