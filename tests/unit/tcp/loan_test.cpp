// Sending what an application lends: the bytes, in order with what is written; and the loan, over once and not too
// early.
#include <deque>
#include <list>
#include <random>

#include "harness.hpp"
#include "tests/unit/net/cut.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kMss = 536;

struct Counted : Loan {
    Counted() : Loan([](Loan& l) { ++static_cast<Counted&>(l).over; }) {}
    ~Counted() { CHECK(over == 1); }
    int over = 0;
};

Bytes bytes_of(const std::string& s) {
    return std::as_bytes(std::span(s));
}
std::string string_of(Bytes b) {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}
std::string string_of(const PacketBuffer& p) {
    std::string all;
    p.for_each_fragment([&](MutableBytes piece, DmaAddr) { all += string_of(piece); });
    return all;
}

struct Lending : Harness {
    static Config with(u16 fragments, u32 gso) {
        Config c = defaults();
        c.send_buffer_bytes = 65536;
        c.fragments = fragments;
        c.gso_bytes = gso;
        c.tx_checksum_offload = fragments > 1;
        return c;
    }
    explicit Lending(u16 fragments = 36, u32 gso = 65535) : Harness(with(fragments, gso), 256) { to_established(); }

    Result<usize> lend(Bytes bytes, Loan* loan) { return tcp->lend(h, bytes, buffers.name(bytes.data()), loan, now); }
    /// All that leaves, cut into segments and acknowledged at once, as a stream; `kept` keeps the packets.
    std::string drain(std::vector<PacketBuffer>* kept = nullptr) {
        std::string all;
        while (auto o = tcp->output(now)) {
            CHECK(o->packet.fragments() <= std::max<u32>(config.fragments, 1));
            for (const auto& segment : test::cut(o->packet, 0, o->source, o->destination)) {
                CHECK(checksum_ok(o->source, o->destination, segment));
                const auto s = parse(o->source, o->destination, segment);
                REQUIRE(s);
                CHECK(s->seq.raw() - our_isn == at);
                all += string_of(Bytes(segment).subspan(s->header_bytes));
                at += s->length;
            }
            if (kept != nullptr) kept->push_back(std::move(o->packet));
            send(1, at, A, "", 65535);
        }
        return all;
    }
    u32 at = 1;
};

}  // namespace

TEST_CASE("A loan is over when its owner, its piece and every view are gone, whoever is last") {
    TestPool t(16);
    const std::string memory(100'000, 'm');
    for (int last = 0; last < 3; ++last) {
        Counted loan;
        auto piece = t.pool.lend(bytes_of(memory), t.name(memory.data()), &loan);
        REQUIRE(piece);
        CHECK(piece->size() == memory.size());
        CHECK(piece->tailroom() == 0);
        CHECK(piece->buffers() == 0);
        CHECK(piece->dma() == t.name(memory.data()));
        auto view = t.pool.view(*piece, 70'000, 30'000);
        REQUIRE(view);
        CHECK(view->data().data() == bytes_of(memory).data() + 70'000);
        CHECK(view->dma() == t.name(memory.data() + 70'000));
        CHECK(view->tailroom() == 0);
        if (last != 0) loan.drop();
        if (last != 1) piece.reset();
        CHECK(t.pool.overdue() == (last != 1 ? 1 : 0));
        if (last != 2) view.reset();
        CHECK(loan.over == 0);
        CHECK(t.pool.free() == 16);
        if (last == 0) loan.drop();
        piece.reset();
        view.reset();
        CHECK(t.pool.overdue() == 0);
        CHECK(t.pool.free_views() == 8);
    }
}

TEST_CASE("What has another address than the pool's, and what would take the last views, is not lent") {
    TestPool t(16);
    const std::string memory(5000, 'm');
    Counted loan;
    CHECK_FALSE(t.pool.lend(bytes_of(memory), t.name(memory.data()) + 1, &loan));
    std::vector<PacketBuffer> all;
    while (auto p = t.pool.lend(bytes_of(memory), t.name(memory.data()), &loan)) all.push_back(std::move(*p));
    CHECK(all.size() == 4);
    CHECK(t.pool.free_views() == 4);
    loan.drop();
    all.clear();
}

TEST_CASE("A large loan is taken whole and sent in its place among what is written") {
    for (u16 fragments : {u16{1}, u16{8}, u16{36}}) {
        Lending t(fragments, fragments == 1 ? 0 : 65535);
        const std::string before = Harness::text(700, 'A'), after = Harness::text(900, 'a'),
                          file = Harness::text(1'000'003, '0');
        Counted loan;
        REQUIRE(t.write(before));
        CHECK(*t.lend(bytes_of(file), &loan) == file.size());
        CHECK_FALSE(t.tcp->readiness(t.h).writable);
        CHECK(t.write(after).error() == Error::would_block);  // full, and beyond
        CHECK(t.lend(bytes_of(file), &loan).error() == Error::would_block);
        CHECK(t.buffers.pool.free() == t.buffers.pool.total() - 1);
        loan.drop();
        CHECK(loan.over == 0);
        std::string got = t.drain();
        CHECK(t.tcp->readiness(t.h).writable);
        REQUIRE(t.write(after));
        REQUIRE(t.tcp->shutdown_write(t.h, t.now));
        got += t.drain();
        CHECK(got == before + file + after);
        CHECK(loan.over == 1);
        if (fragments == 36) CHECK(t.tcp->stats().gso_out > 10);
    }
}

TEST_CASE("A loan is not over while a device may still read of it") {
    Lending t;
    const std::string file = Harness::text(3 * kMss * 2, '0');
    Counted loan;
    REQUIRE(t.lend(bytes_of(file), &loan));
    loan.drop();
    std::vector<PacketBuffer> device;
    CHECK(t.drain(&device) == file.substr(0, file.size() / kMss * kMss));  // Nagle has no rest to keep
    CHECK(loan.over == 0);
    CHECK(t.buffers.pool.overdue() == 1);
    device.clear();
    CHECK(loan.over == 1);
}

TEST_CASE("Short pieces are copied, and their loan is over at once") {
    Lending t;
    std::string note(SendBuffer::kWorthLending - 1, 'n');
    Counted loan;
    REQUIRE(*t.lend(bytes_of(note), &loan) == note.size());
    loan.drop();
    CHECK(loan.over == 1);
    note.assign(note.size(), 'x');
    CHECK(t.drain() == std::string(note.size(), 'n'));
}

TEST_CASE("A segment takes no more pieces than the link does") {
    Lending t(6);
    const std::string page = Harness::text(1024, '0');
    std::string all;
    Counted loan;
    for (int i = 0; i < 40; ++i) {
        REQUIRE(t.lend(bytes_of(page), &loan));
        REQUIRE(t.write("between"));
        all += page + "between";
    }
    loan.drop();
    REQUIRE(t.tcp->shutdown_write(t.h, t.now));
    CHECK(t.drain() == all);
    CHECK(loan.over == 1);
}

TEST_CASE("However a connection ends, its loans are over once") {
    const std::string file = Harness::text(200'000, '0');
    enum class End : u8 { reset, abort, close, timeout, destroyed, finished_handle };
    for (const End end : {End::reset, End::abort, End::close, End::timeout, End::destroyed, End::finished_handle}) {
        INFO(int(end));
        Counted loan;
        Lending t;
        REQUIRE(t.lend(bytes_of(file), &loan));
        loan.drop();
        std::optional<Tcp::Outgoing> in_device = t.tcp->output(t.now);
        REQUIRE(in_device);
        CHECK(loan.over == 0);
        switch (end) {
        case End::reset:
            t.send(1, 1, R | A);
            break;
        case End::abort:
            t.tcp->abort(t.h, t.now);
            break;
        case End::close:  // goes on in the background, to its end
            t.tcp->close(t.h, t.now);
            t.at += u32(in_device->packet.total_size() - in_device->packet.data().size());
            t.send(1, t.at, A, "", 65535);
            t.drain();
            break;
        case End::timeout:
        case End::finished_handle:
            for (int i = 0; i < 10'000 && !t.tcp->readiness(t.h).closed; ++i) {
                t.now = std::max(t.now, t.tcp->deadline());
                t.tcp->poll(t.now);
                while (t.tcp->output(t.now)) {
                }
            }
            CHECK(t.tcp->readiness(t.h).error == Error::timed_out);
            if (end == End::finished_handle) t.tcp->close(t.h, t.now);
            break;
        case End::destroyed:
            t.tcp.reset();
            break;
        }
        CHECK(loan.over == 0);  // the device
        CHECK(t.buffers.pool.overdue() == 1);
        in_device.reset();
        CHECK(loan.over == 1);
    }
}

TEST_CASE("The send buffer keeps what is lent and what is written in order, whatever is asked of it") {
    TestPool t(128);
    SendMemory memory{t.pool};
    memory.soft = memory.hard = 64;
    SendBuffer b(memory, 60'000);
    std::mt19937 random(5);
    std::string model;
    std::list<std::pair<Counted, std::string>> loans;
    std::deque<std::pair<PacketBuffer, std::string>> lent;
    for (int i = 0; i < 5000; ++i) {
        std::string s(1 + random() % 5000, char('a' + i % 26));
        for (char& c : s) c = char(c ^ (random() & 7));
        u32 n = 0;
        if (b.room() != 0 && random() % 2 == 0) {
            auto& [loan, text] = loans.emplace_back(std::piecewise_construct, std::tuple(), std::tuple(s));
            n = b.borrow(bytes_of(text), t.name(text.data()), &loan);
            loan.drop();
            CHECK(loan.over == (n == 0 ? 1 : 0));
        }
        if (n == 0) n = b.write(bytes_of(s));
        model += s.substr(0, n);
        REQUIRE(b.size() == model.size());
        const u32 at = u32(random() % model.size()), length = u32(random() % (model.size() - at + 1));
        const auto pieces = b.at(at, std::min(length, 4000u));
        std::string got;
        for (const Bytes piece : pieces.all()) got += string_of(piece);
        REQUIRE(got == model.substr(at, std::min(length, 4000u)));
        auto segment = t.pool.allocate();
        REQUIRE(segment);
        const u32 fragments = u32(2 + random() % 12), n_lent = b.lend(*segment, at, length, fragments);
        CHECK((n_lent == length || segment->fragments() == fragments || t.pool.free_views() == 0));
        lent.emplace_back(std::move(*segment), model.substr(at, n_lent));
        while (lent.size() > 4) {
            REQUIRE(string_of(lent.front().first) == lent.front().second);
            lent.pop_front();
        }
        const u32 gone = u32(random() % (model.size() + 1));
        b.drop(gone);
        model.erase(0, gone);
        while (!loans.empty() && loans.front().first.over == 1) loans.pop_front();
    }
    CHECK(loans.size() < 100);
    b.release();
    CHECK(memory.held == 0);
    lent.clear();
    for (auto& [loan, text] : loans) CHECK(loan.over == 1);
}
