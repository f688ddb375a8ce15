// The values TCP is made of, each by itself: sequence numbers, header parsing, RTT, assembler, send buffer,
// tables.
#include <algorithm>
#include <deque>
#include <map>
#include <random>

#include "harness.hpp"

using namespace tcp_test;

namespace {

Bytes bytes_of(const std::string& s) {
    return std::as_bytes(std::span(s.data(), s.size()));
}
std::string string_of(Bytes b) {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}

std::optional<Segment> parse_with_options(std::vector<u8> options) {
    while (options.size() % 4 != 0) options.push_back(0);
    std::vector<u8> h = {0, 80, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2, u8((5 + options.size() / 4) << 4), A, 16, 0, 0, 0, 0, 0};
    h.insert(h.end(), options.begin(), options.end());
    return parse(kPeer, kUs, std::as_bytes(std::span(h)));
}

}  // namespace

TEST_CASE("Sequence numbers compare on the circle") {
    const SeqNum a(0xffff'fff0), b(0x10);
    CHECK(a < b);
    CHECK(b > a);
    CHECK(max(a, b) == b);
    CHECK(min(a, b) == a);
    CHECK(b - a == 0x20u);
    CHECK(a + 0x20u == b);
    CHECK(SeqNum(5).within(a, 0x20));
    CHECK_FALSE(b.within(a, 0x20));
    CHECK_FALSE(a.within(a, 0));
}

TEST_CASE("Headers that cannot be right are refused") {
    std::vector<std::byte> h(19);
    CHECK_FALSE(parse(kPeer, kUs, h));
    h.resize(20);
    CHECK_FALSE(parse(kPeer, kUs, h));  // ports and data offset are zero
    h[1] = h[3] = std::byte{1};
    for (int offset = 0; offset < 16; ++offset) {
        h[12] = std::byte(offset << 4);
        CHECK(parse(kPeer, kUs, h).has_value() == (offset == 5));
    }
    h.resize(60);
    h[12] = std::byte{0xf0};
    CHECK(parse(kPeer, kUs, h)->length == 0);
    h[3] = std::byte{0};
    CHECK_FALSE(parse(kPeer, kUs, h));
}

TEST_CASE("Options are parsed defensively") {
    auto s = parse_with_options({2, 4, 5, 180, 1, 3, 3, 20, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9});
    REQUIRE(s);
    CHECK(s->mss == 1460);
    CHECK(s->window_scale == kMaxWindowScale);
    CHECK(s->sack_permitted);
    CHECK(s->has_timestamp);
    CHECK(s->timestamp == 7);
    CHECK(s->timestamp_echo == 9);
    CHECK(parse_with_options({1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2})->timestamp == 1);
    for (auto bad : std::vector<std::vector<u8>>{{2, 0, 5, 180},
                                                 {2, 1, 5, 180},
                                                 {2, 200, 5, 180},
                                                 {2, 3, 5},
                                                 {2},
                                                 {1, 1, 1, 2},
                                                 {0, 2, 4, 5, 180},
                                                 {77, 0},
                                                 {8, 10, 0, 0},
                                                 {3, 2},
                                                 {253, 4, 1}}) {
        auto x = parse_with_options(bad);
        REQUIRE(x);
        CHECK(x->mss == 0);
        CHECK_FALSE(x->window_scale);
        CHECK_FALSE(x->has_timestamp);
    }
    CHECK(parse_with_options({77, 4, 0, 0, 2, 4, 2, 0})->mss == 512);  // an unknown one is stepped over
}

TEST_CASE("What build() writes, parse() reads; the checksum covers a payload in two pieces") {
    TestPool t(4);
    for (usize cut : {usize{0}, usize{1}, usize{6}, usize{7}, usize{13}}) {
        const std::string text = "thirteen char";
        Segment s;
        s.local = {kUs, 80};
        s.remote = {kPeer, 999};
        s.seq = SeqNum(0xdeadbeef);
        s.ack = SeqNum(0x12345678);
        s.flags = A | P;
        s.window = 4321;
        s.length = u16(text.size());
        s.has_timestamp = true;
        s.timestamp = 11;
        s.timestamp_echo = 22;
        const Bytes whole = bytes_of(text), pieces[] = {whole.first(cut), whole.subspan(cut)};
        auto p = build(t.pool, s, pieces, TxChecksum::complete);
        REQUIRE(p);
        CHECK(checksum_ok(kUs, kPeer, p->data()));
        auto r = parse(kUs, kPeer, p->data());
        REQUIRE(r);
        CHECK(r->seq == s.seq);
        CHECK(r->ack == s.ack);
        CHECK(r->flags == s.flags);
        CHECK(r->window == 4321);
        CHECK(r->timestamp_echo == 22);
        CHECK(string_of(Bytes(p->data()).subspan(r->header_bytes)) == text);
        p->data()[25] ^= std::byte{4};
        CHECK_FALSE(checksum_ok(kUs, kPeer, p->data()));
    }
}

TEST_CASE("RTO follows RFC 6298") {
    RttEstimator e;
    CHECK(e.rto().ms() == 1000);
    e.back_off();
    CHECK(e.rto().ms() == 2000);
    e.sample(Duration::from_ms(100));
    CHECK(e.rto().ms() == 300);  // 100 + 4 * 50; the sample ends the backoff
    e.sample(Duration::from_ms(100));
    CHECK(e.rto().us() == 250'000);  // 100 + 4 * 37.5
    for (int i = 0; i < 100; ++i) e.sample(Duration::from_us(50));
    CHECK(e.rto() == RttEstimator::kMinimum);
    for (int i = 0; i < 100; ++i) e.back_off();
    CHECK(e.rto() == RttEstimator::kMaximum);
    e.progress();
    CHECK(e.rto() == RttEstimator::kMinimum);
}

TEST_CASE("The assembler equals a simple model, whatever arrives in whatever order") {
    TestPool t(96);
    std::mt19937 random(7);
    for (int round = 0; round < 400; ++round) {
        Assembler a;
        const SeqNum base(0xffff'ff80);
        std::map<u32, char> model;  // offset -> byte, first arrival wins
        std::string truth(600, ' ');
        for (char& c : truth) c = static_cast<char>('a' + random() % 26);
        for (int i = 0; i < 30; ++i) {
            const u32 at = u32(1 + random() % 500), n = u32(1 + random() % (random() % 4 == 0 ? 90 : 12));
            auto p = t.pool.allocate();
            REQUIRE(p);
            for (u32 k = 0; k < n; ++k) p->append(1)[0] = std::byte(truth[at + k]);
            if (random() % 2) {  // no room to join a neighbour
                std::memmove(p->data().data() + (PacketBuffer::kSize - PacketBuffer::kHeadroom - n), p->data().data(),
                             n);
                p->window(PacketBuffer::kSize - n, PacketBuffer::kSize);
            }
            REQUIRE(a.insert(base + at, std::move(*p), 64));
            for (u32 k = 0; k < n; ++k) model.try_emplace(at + k, truth[at + k]);
        }
        CHECK(a.count() <= 30);
        // Read everything back, stepping over the holes one byte at a time.
        std::string got(600, ' '), want(600, ' ');
        for (auto [at, c] : model) want[at] = c;
        for (u32 next = 0; next < 600;) {
            auto p = a.take(base + next);
            if (!p) {
                ++next;
                continue;
            }
            const std::string piece = string_of(p->data());
            got.replace(next, piece.size(), piece);
            next += u32(piece.size());
        }
        CHECK(a.empty());
        REQUIRE(got == want);
    }
}

TEST_CASE("Where segments overlap, what arrived first wins") {
    TestPool t(8);
    Assembler a;
    auto piece = [&](u32 at, const std::string& text) {
        auto p = t.pool.allocate();
        std::memcpy(p->append(text.size()).data(), text.data(), text.size());
        CHECK(a.insert(SeqNum(at), std::move(*p), 8));
    };
    piece(10, "BBB");
    piece(7, "aaaaa");  // its tail is known already
    piece(12, "ccc");   // its front is
    piece(30, "d");
    piece(28, "eeeee");  // covers: replaced as a whole
    auto read = [&](u32 at) {
        std::string got;
        while (auto p = a.take(SeqNum(at + u32(got.size())))) got += string_of(p->data());
        return got;
    };
    CHECK(read(7) == "aaaBBBcc");
    CHECK(read(28) == "eeeee");
    CHECK(a.empty());
}

TEST_CASE("The assembler is bounded: the piece farthest ahead makes room") {
    TestPool t(16);
    Assembler a;
    auto piece = [&](u32 at) {
        auto p = t.pool.allocate();
        p->append(1)[0] = std::byte(at);
        return a.insert(SeqNum(at), std::move(*p), 4);
    };
    for (u32 at : {10u, 20u, 30u, 40u}) CHECK(piece(at));
    CHECK_FALSE(piece(50));
    CHECK(piece(5));
    CHECK(a.count() == 4);
    CHECK_FALSE(piece(40));  // it was thrown out, and there is no room for it at the end
    CHECK(piece(11));        // adjacent: joins its neighbour's buffer
    CHECK(a.count() == 4);
    CHECK(a.take(SeqNum(5))->size() == 1);
    CHECK_FALSE(a.take(SeqNum(6)));
    CHECK(a.take(SeqNum(10))->size() == 2);
}

namespace {
std::string string_at(SendBuffer& b, u32 offset, u32 length) {
    std::string all;
    const SendBuffer::Pieces pieces = b.at(offset, length);
    for (const Bytes piece : pieces.all()) all += string_of(piece);
    return all;
}
}  // namespace

TEST_CASE("The send buffer grows, lends and shrinks without losing a byte") {
    // In single buffers, and in runs as long as there are any.
    const auto [bound, longest, buffers] =
        GENERATE(std::tuple(20'000u, 3000u, 64u), std::tuple(200'000u, 50'000u, 256u));
    TestPool t(buffers);
    SendMemory memory{t.pool};
    memory.soft = memory.hard = buffers / 4 * 3;
    SendBuffer b(memory, bound);
    std::deque<std::pair<PacketBuffer, std::string>> lent;  // to a slow device, with what it must read
    std::mt19937 random(3);
    std::string model;
    char next = 'a';
    usize most = 0;
    for (int i = 0; i < 5000; ++i) {
        std::string s(1 + random() % longest, ' ');
        for (char& c : s) c = next = static_cast<char>(next == 'z' ? 'a' : next + 1);
        const u32 n = b.write(bytes_of(s));
        const usize wanted = std::min<usize>(s.size(), bound - model.size());
        CHECK((n == wanted || (n < wanted && t.pool.free() + 16 > buffers / 4)));
        most = std::max<usize>(most, b.buffers());
        model += s.substr(0, n);
        next = model.empty() ? 'a' : model.back();
        CHECK(b.size() == model.size());
        if (!model.empty()) {
            const u32 at = u32(random() % model.size()), len = u32(random() % (model.size() - at + 1));
            const u32 shorter = std::min<u32>(len, 2048);
            REQUIRE(string_at(b, at, shorter) == model.substr(at, shorter));
            auto segment = t.pool.allocate();
            REQUIRE(segment);
            const u32 n_lent = b.lend(*segment, at, len, 100);
            if (n_lent != len) REQUIRE(t.pool.free_views() == 0);
            lent.emplace_back(std::move(*segment), model.substr(at, n_lent));
        }
        while (lent.size() > 6) {
            std::string all;
            lent.front().first.for_each_fragment([&](MutableBytes piece, DmaAddr) { all += string_of(piece); });
            REQUIRE(all == lent.front().second);
            CHECK(lent.front().first.buffers() == 1);
            lent.pop_front();
        }
        const u32 gone = u32(random() % (model.size() + 1));
        b.drop(gone);
        model.erase(0, gone);
    }
    CHECK(most >= bound / PacketBuffer::kSize);
    b.release();
    CHECK(b.size() == 0);
    CHECK(memory.held == 0);
    CHECK(t.pool.free() + t.pool.orphans() + lent.size() == buffers);
    lent.clear();
    CHECK(t.pool.orphans() == 0);
    CHECK(t.pool.free() == buffers);
    CHECK(b.write(bytes_of("again")) == 5);
}

TEST_CASE("Send buffers share a budget: who has two buffers waits sooner than who has none") {
    TestPool t(16);
    SendMemory memory{t.pool};
    memory.soft = 4, memory.hard = 5;
    constexpr u32 kBuffer = PacketBuffer::kSize;
    SendBuffer a(memory, 100'000), b(memory, 100'000), c(memory, 100'000);
    CHECK(a.write(bytes_of(std::string(20'000, 'a'))) == 4 * kBuffer);
    CHECK_FALSE(memory.refused);
    CHECK(b.write(bytes_of(std::string(20'000, 'b'))) == kBuffer);
    CHECK(c.write(bytes_of("c")) == 0);
    CHECK(memory.refused);
    a.drop(kBuffer + 5);
    CHECK(memory.held == 4);
    CHECK(a.write(bytes_of("x")) == 0);
    CHECK(c.write(bytes_of("c")) == 1);
    CHECK(a.at(0, 1).all()[0].size() == 1);
    a.drop(a.size());
    b.release();
    c.release();
    CHECK(memory.held == 0);
}

TEST_CASE("Bulk is written into runs, as long as the budget and the pool have any") {
    TestPool t(64);
    SendMemory memory{t.pool};
    memory.soft = 40, memory.hard = 44;
    constexpr u32 kBuffer = PacketBuffer::kSize, kRun = PacketBuffer::kRun;
    SendBuffer a(memory, 1'000'000), b(memory, 1'000'000);
    CHECK(a.write(bytes_of(std::string(20'000, 'a'))) == 20'000);  // not yet worth a run
    CHECK(a.buffers() == 5);
    CHECK(a.write(bytes_of(std::string(20'000, 'b'))) == 20'000);  // now it is
    CHECK(a.buffers() == 5 + kRun);
    CHECK(a.write(bytes_of(std::string(kRun * kBuffer, 'c'))) == kRun * kBuffer);
    CHECK(a.buffers() == 5 + 2 * kRun);
    CHECK(memory.held == a.buffers());
    CHECK(b.write(bytes_of(std::string(64'000, 'd'))) == 3 * kBuffer);  // no third: single ones, up to the budget
    CHECK(string_at(a, 20'479, 2) == "bb");
    CHECK(string_at(a, 39'999, 2) == "bc");
    a.drop(5 * kBuffer + 1);
    CHECK(a.buffers() == 2 * kRun);  // held until the last byte of it is gone
    a.drop(kRun * kBuffer - 1);
    CHECK(a.buffers() == kRun);
    CHECK(memory.held == kRun + 3);
}

TEST_CASE("Deadlines come out in order, put off or brought forward") {
    TestPool t(2);
    Environment env{.config = Harness::defaults(),
                    .pool = t.pool,
                    .secrets = Secrets(Harness::defaults().secret),
                    .send = {t.pool}};
    std::vector<std::unique_ptr<Entry>> entries;
    DeadlineHeap heap(100);
    std::mt19937 random(11);
    for (u16 i = 0; i < 100; ++i) {
        entries.push_back(std::make_unique<Entry>(env, Endpoint{kUs, 80}, Endpoint{kPeer, u16(1000 + i)}));
        heap.schedule(*entries.back(), Instant{1000 + random() % 1000});
    }
    for (int i = 0; i < 300; ++i) {
        Entry& e = *entries[random() % 100];
        if (random() % 3 == 0)
            heap.remove(e);
        else
            heap.schedule(e, Instant{500 + random() % 1500});
    }
    u64 last = 0;
    while (!heap.earliest().is_never()) {
        const Instant key = heap.earliest();
        CHECK(key.ns >= last);
        last = key.ns;
        CHECK(heap.pop_due(Instant{key.ns - 1}) == nullptr);
        REQUIRE(heap.pop_due(key) != nullptr);
    }
    CHECK(heap.pop_due(Instant{~u64{0} - 1}) == nullptr);
}

TEST_CASE("Initial sequence numbers differ by connection and grow with time (RFC 6528)") {
    const Secrets s(Harness::defaults().secret), other({9});
    const Endpoint l{kUs, 80}, r{kPeer, 1000}, r2{kPeer, 1001};
    CHECK(s.start(l, r).sequence != s.start(l, r2).sequence);
    CHECK(s.start(l, r).sequence != other.start(l, r).sequence);
    CHECK(s.start(l, r).timestamp != s.start(l, r2).timestamp);
    CHECK(s.start(l, r).timestamp != s.start(l, r).sequence);
    CHECK(Secrets::isn(7, Instant{4'000'000}) - Secrets::isn(7, {}) == 1000);
}
