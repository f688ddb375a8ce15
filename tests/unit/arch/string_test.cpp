// The x86_64 image's memcpy, memmove, memset, memcmp, strlen and memchr (arch/x86_64/string.S), run on the
// host beside the C library's: every small size, alignment and overlap, and the neighbours left alone.
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

extern "C" {
void* image_memcpy(void*, const void*, std::size_t);
void* image_memmove(void*, const void*, std::size_t);
void* image_memset(void*, int, std::size_t);
int image_memcmp(const void*, const void*, std::size_t);
std::size_t image_strlen(const char*);
void* image_memchr(const void*, int, std::size_t);
extern unsigned char ringlet_copy_words;
}

namespace {

using Buffer = std::vector<unsigned char>;

Buffer noise(std::size_t n) {
    std::mt19937 random(12345);
    Buffer b(n);
    for (auto& c : b) c = static_cast<unsigned char>(random());
    return b;
}

/// All sizes where the code changes its mind, and some beyond.
std::vector<std::size_t> sizes() {
    std::vector<std::size_t> s;
    for (std::size_t n = 0; n <= 700; ++n) s.push_back(n);
    for (std::size_t n : {1023, 1024, 1025, 2047, 4095, 4096, 4097, 9000}) s.push_back(n);
    return s;
}

}  // namespace

TEST_CASE("memcpy at every size and alignment") {
    ringlet_copy_words = GENERATE(0, 1);
    const Buffer from = noise(10'000);
    for (std::size_t n : sizes())
        for (std::size_t to_shift : {0, 1, 7, 15})
            for (std::size_t from_shift : {0, 3, 16}) {
                Buffer got(n + 64, 0xee), want = got;
                REQUIRE(image_memcpy(got.data() + to_shift, from.data() + from_shift, n) == got.data() + to_shift);
                std::memcpy(want.data() + to_shift, from.data() + from_shift, n);
                REQUIRE(got == want);
            }
}

TEST_CASE("memmove at every distance") {
    ringlet_copy_words = GENERATE(0, 1);
    const Buffer original = noise(12'000);
    for (std::size_t n : sizes())
        for (int distance : {-300, -257, -64, -63, -17, -16, -8, -1, 0, 1, 5, 16, 31, 63, 64, 65, 128, 255, 400}) {
            Buffer got(original.begin(), original.begin() + static_cast<long>(n) + 1000), want = got;
            image_memmove(got.data() + 450 + distance, got.data() + 450, n);
            std::memmove(want.data() + 450 + distance, want.data() + 450, n);
            REQUIRE(got == want);
        }
}

TEST_CASE("memset at every size and alignment") {
    for (std::size_t n : sizes())
        for (std::size_t shift : {0, 1, 8, 13}) {
            Buffer got(n + 64, 0x11), want = got;
            REQUIRE(image_memset(got.data() + shift, 0x1a5, n) == got.data() + shift);
            std::memset(want.data() + shift, 0x1a5, n);
            REQUIRE(got == want);
        }
}

TEST_CASE("memcmp finds the first difference and its sign") {
    const Buffer a = noise(200);
    for (std::size_t n = 0; n <= 200; ++n) {
        REQUIRE(image_memcmp(a.data(), Buffer(a).data(), n) == 0);
        for (std::size_t at = 0; at < n; ++at) {
            Buffer b = a;
            b[at] = static_cast<unsigned char>(b[at] ^ 0x80);
            b[n - 1] = static_cast<unsigned char>(b[n - 1] + (at == n - 1 ? 0 : 1));
            const int got = image_memcmp(a.data(), b.data(), n);
            REQUIRE((got < 0) == (a[at] < b[at]));
            REQUIRE(got != 0);
        }
    }
}

TEST_CASE("strlen and memchr") {
    const Buffer a = noise(300);
    for (std::size_t n = 0; n < 100; ++n) {
        std::string s(n, 'x');
        REQUIRE(image_strlen(s.c_str()) == n);
        for (int c : {0, 7, 0x1ff})
            REQUIRE(image_memchr(a.data(), c, n) == std::memchr(const_cast<unsigned char*>(a.data()), c, n));
    }
    // At every place, with the same byte on both sides of what is searched.
    for (std::size_t from = 16; from < 33; ++from)
        for (std::size_t n = 0; n < 50; ++n)
            for (std::size_t at = 0; at <= n; ++at) {
                std::string s(100, '\x80');
                s[from - 1] = s[from + n] = '\x81';
                if (at < n) s[from + at] = '\x81';
                const char* const begin = s.data() + from;
                REQUIRE(image_memchr(begin, 0x81, n) == (at < n ? begin + at : nullptr));
                REQUIRE(image_memchr(begin, 0x181, ~std::size_t{0}) == begin + at);
            }
}
