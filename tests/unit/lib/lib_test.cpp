// lib/: formatting, numbers, lists, endian words.
#include <catch2/catch.hpp>

#include <string>

#include "lib/bytes.hpp"
#include "lib/calendar.hpp"
#include "lib/endian.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/format.hpp"
#include "lib/list.hpp"
#include "lib/parse.hpp"
#include "lib/time.hpp"

using namespace ringlet;

namespace {
template <class... A> std::string text(FormatString<std::type_identity_t<A>...> f, const A&... a) {
    char buffer[256];
    return std::string(format_to(buffer, f, a...));
}
Result<int> half(int n) {
    if (n % 2 != 0) return fail(Error::invalid);
    return n / 2;
}
Result<int> quarter(int n) {
    const int h = TRY(half(n));
    return half(h);
}
}  // namespace

TEST_CASE("format prints numbers, text and padding") {
    CHECK(text("{} {}", 42, -7) == "42 -7");
    CHECK(text("{:x} {:08x}", 0xbeefu, 0x12u) == "beef 00000012");
    CHECK(text("[{:>5}] [{:<5}] [{:5}]", 42, "ab", "cd") == "[   42] [ab   ] [cd   ]");
    CHECK(text("{{}} {}", true) == "{} true");
    CHECK(text("{}", u64{18446744073709551615u}) == "18446744073709551615");
    CHECK(text("{}", std::int64_t{INT64_MIN}) == "-9223372036854775808");
    CHECK(text("{} {}", 'x', Error::corrupt) == "x corrupt data");
    char small[4];
    CHECK(format_to(small, "{}", "abcdefgh") == "abcd");
}

TEST_CASE("parse_number rejects what is not wholly a number") {
    CHECK(parse_number<u16>("65535") == 65535);
    CHECK_FALSE(parse_number<u16>("65536"));
    CHECK_FALSE(parse_number<u8>("-1"));
    CHECK_FALSE(parse_number<u32>(""));
    CHECK_FALSE(parse_number<u32>("12a"));
    CHECK(parse_number<u32>("fF", 16) == 255u);
    std::string_view rest = "  ls  -l ";
    CHECK(next_word(rest) == "ls");
    CHECK(next_word(rest) == "-l");
    CHECK(next_word(rest).empty());
}

TEST_CASE("a part of a text is cut to what there is") {
    const std::string_view text = "ringlet";
    CHECK(substring(text, 0, 4) == "ring");
    CHECK(substring(text, 4) == "let");
    CHECK(substring(text, 4, 100) == "let");
    CHECK(substring(text, 6, std::string_view::npos - 1) == "t");
    CHECK(substring(text, 7).data() == text.data() + 7);
    CHECK(substring(text, 8).empty());
    CHECK(substring(text, std::string_view::npos, 2).empty());
    CHECK(substring({}, 0).empty());
}

TEST_CASE("TRY passes errors on and values through") {
    CHECK(quarter(8).value() == 2);
    CHECK(quarter(6).error() == Error::invalid);
}

TEST_CASE("wire words keep their byte order") {
    const be16 b{0x1234};
    CHECK(reinterpret_cast<const u8*>(&b)[0] == 0x12);
    const le32 l{0x12345678};
    CHECK(reinterpret_cast<const u8*>(&l)[0] == 0x78);
    CHECK(u32(l) == 0x12345678u);
}

TEST_CASE("read_at and slice stay inside") {
    std::byte raw[8]{};
    CHECK(read_at<u32>(raw, 4));
    CHECK_FALSE(read_at<u32>(raw, 5));
    CHECK_FALSE(read_at<u32>(raw, SIZE_MAX));
    CHECK_FALSE(slice(raw, 4, ~u64{0}));
    CHECK(slice(raw, 8, 0)->empty());
}

TEST_CASE("an intrusive list links and unlinks in place") {
    struct Item : ListNode<> {
        int v = 0;
    };
    Item a, b, c;
    a.v = 1, b.v = 2, c.v = 3;
    List<Item> list;
    list.push_back(a), list.push_back(c), list.insert_before(c, b);
    int sum = 0, order = 0;
    for (Item& i : list) sum += i.v, order = order * 10 + i.v;
    CHECK(sum == 6);
    CHECK(order == 123);
    List<Item>::remove(b);
    CHECK(list.pop_front() == &a);
    CHECK(list.pop_front() == &c);
    CHECK(list.pop_front() == nullptr);
}

TEST_CASE("a fixed vector reports when it is full") {
    FixedVector<std::string, 2> v;
    CHECK(v.try_push_back("a"));
    CHECK(v.try_push_back("b"));
    CHECK_FALSE(v.try_push_back("c"));
    FixedVector<std::string, 2> moved = std::move(v);
    CHECK(moved.size() == 2);
    CHECK(moved[1] == "b");
}

TEST_CASE("never is later than everything and stays so") {
    CHECK(Instant{5} < Instant::never());
    CHECK(Instant::never() + Duration::from_s(5) == Instant::never());
    CHECK((Instant{1'000'000} - Instant{2'000'000}).ms() == -1);
}

TEST_CASE("dates and days are each other's inverse") {
    CHECK(days_from_civil({1970, 1, 1}) == 0);
    CHECK(civil_from_days(-1) == CivilDate{1969, 12, 31});
    CHECK(civil_from_days(days_from_civil({1600, 2, 29})) == CivilDate{1600, 2, 29});
    for (i64 days = -800'000; days < 3'000'000; days += 97) {
        const CivilDate d = civil_from_days(days);
        REQUIRE((d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= 31));
        REQUIRE(days_from_civil(d) == days);
    }
}
