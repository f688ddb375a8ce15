// Containers, strings, streams, regular expressions, ranges, memory resources, the filesystem, clocks, random numbers.
#include <algorithm>
#include <any>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <random>
#include <ranges>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "check.hpp"

namespace {

/// The architecture's own, against the plainest there can be, in all sizes and positions that they tell apart.
void check_memory() {
    constexpr std::size_t kMost = 300;
    std::vector<unsigned char> from(kMost + 64), to(kMost + 64);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i * 7 % 251 + 1);
    const auto sound = [&](std::size_t at, std::size_t n) {
        volatile std::size_t count = n;  // no size that the compiler knows
        unsigned char* const begin = from.data() + at;
        unsigned char* const copy = to.data() + at % 5;
        std::fill(to.begin(), to.end(), 0);
        bool good = std::memcpy(copy, begin, count) == copy && std::equal(begin, begin + n, copy) && copy[n] == 0;
        good &= std::memcmp(copy, begin, count) == 0;
        if (n != 0) {
            unsigned char& last = copy[n - 1];
            const int before = std::exchange(last, static_cast<unsigned char>(last + 1));
            good &= std::memcmp(copy, begin, count) > 0 && std::memcmp(begin, copy, count) < 0;
            last = 0;  // in no other place
            good &= std::memchr(copy, 0, count) == &last && std::memchr(copy, 0, count - 1) == nullptr;
            good &= std::memchr(copy, 0, ~std::size_t{0}) == &last;
            good &= std::strlen(reinterpret_cast<char*>(copy)) == n - 1;
            last = static_cast<unsigned char>(before);
        }
        std::memmove(copy + 3, copy, count);
        good &= std::equal(begin, begin + n, copy + 3);
        std::memmove(copy, copy + 3, count);
        good &= std::equal(begin, begin + n, copy);
        std::fill(to.begin(), to.end(), 0);
        std::memset(copy, 0x5a, count);
        good &= std::count(to.begin(), to.end(), 0x5a) == static_cast<std::ptrdiff_t>(n);
        return good;
    };
    std::size_t sizes = 0;
    while (sizes <= kMost && sound(sizes % 17, sizes) && sound((sizes + 9) % 17, sizes)) ++sizes;
    CHECK(sizes == kMost + 1);
}

void check_containers() {
    std::vector<std::string> names;
    for (int i = 0; i < 1000; ++i) names.push_back("name " + std::to_string(i) + std::string(i % 50, 'x'));
    std::sort(names.begin(), names.end(), std::greater<>());
    CHECK(names.size() == 1000 && names[0].starts_with("name 9x"));
    std::map<std::string, int> lengths;
    for (const auto& name : names) lengths[name] = static_cast<int>(name.size());
    CHECK(lengths.size() == 1000);
    std::unordered_map<int, std::string> table;
    for (int i = 0; i < 500; ++i) table[i * 7919] = std::to_string(i);
    CHECK(table.at(7919 * 3) == "3");

    std::pmr::monotonic_buffer_resource memory;
    std::pmr::vector<int> odd(&memory);
    for (int i : std::views::iota(0, 100) | std::views::filter([](int n) { return n % 2 == 1; })) odd.push_back(i);
    CHECK(odd.size() == 50);

    const std::variant<int, std::string> either = "text";
    const std::any any = 5;
    const std::optional<int> maybe = 3;
    CHECK(std::get<1>(either) == "text" && std::any_cast<int>(any) == 5 && *maybe == 3);
    auto shared = std::make_shared<int>(4);
    const std::weak_ptr<int> weak = shared;
    shared.reset();
    CHECK(weak.expired());
    CHECK(std::wstring(L"wide").size() == 4 && std::u8string(u8"\u00e9").size() == 2 && std::locale().name() == "C");
}

void check_streams() {
    std::ostringstream out;
    out << std::fixed << std::setprecision(3) << 1.0 / 3 << ' ' << std::hex << 255 << ' ' << std::boolalpha << true;
    CHECK(out.str() == "0.333 ff true");
    double number = 0;
    std::string word;
    std::istringstream in("2.5e3 abc");
    in >> number >> word;
    CHECK(number == 2500 && word == "abc");
    std::cerr << "standard error\n";

    const std::regex address("(\\w+)@(\\w+)\\.com");
    std::smatch found;
    const std::string line = "mail bob@example.com now";
    CHECK(std::regex_search(line, found, address) && found[2] == "example");
    CHECK(std::make_error_code(std::errc::no_such_file_or_directory).message() == "No such file or directory");
}

void check_filesystem() {
    namespace fs = std::filesystem;
    const fs::path path = "/a/b/../c.txt";
    CHECK(path.lexically_normal() == "/a/c.txt" && path.extension() == ".txt");
    std::error_code error;
    CHECK(!fs::exists("/nope", error));
    CHECK(fs::create_directories("/tmp/one/two"));
    std::ofstream("/tmp/one/file") << "some text\n";
    std::string text;
    std::getline(std::ifstream("/tmp/one/file") >> std::ws, text);
    CHECK(text == "some text" && fs::file_size("/tmp/one/file") == 10);
    fs::rename("/tmp/one/file", "/tmp/one/two/moved");
    fs::create_symlink("moved", "/tmp/one/two/link");
    CHECK(fs::is_symlink("/tmp/one/two/link") && fs::read_symlink("/tmp/one/two/link") == "moved");
    fs::resize_file("/tmp/one/two/moved", 4);
    CHECK(fs::file_size("/tmp/one/two/link") == 4);
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator("/tmp/one")) names.insert(entry.path().filename());
    CHECK((names == std::set<std::string>{"two", "moved", "link"}));
    bool refused = false;
    try {
        fs::remove("/tmp/one");
    } catch (const fs::filesystem_error&) {
        refused = true;
    }
    CHECK(refused);
    CHECK(fs::remove_all("/tmp/one") == 4 && !fs::exists("/tmp/one"));
    CHECK(fs::current_path() == "/");
}

void check_clocks() {
    using namespace std::chrono;
    const auto began = steady_clock::now();
    std::this_thread::sleep_for(2ms);
    CHECK(steady_clock::now() - began >= 2ms);
    CHECK(system_clock::now().time_since_epoch() > hours(24 * 365 * 50));
    CHECK(high_resolution_clock::period::den == 1'000'000'000);
    std::random_device device;
    std::mt19937_64 generator(device());
    CHECK(std::isfinite(std::normal_distribution<>()(generator)));
    CHECK(device() != device());
}

}  // namespace

void check_library() {
    check_memory();
    check_containers();
    check_streams();
    check_filesystem();
    check_clocks();
}
