// Throughput against loss: one bulk connection over a bottleneck with a drop-tail queue of one bandwidth-delay product,
// in virtual time. Each row of throughput.txt is compared with what was recorded (3 %) and with theory (20 %):
//
//   W = max(sqrt(1.5 / p), 1.054 * RTT^0.75 / p^0.75) segments in flight on average, rate = min(W / RTT, bottleneck)
//
// the first the average of NewReno, of which CUBIC is made not to fall short (RFC 9438 §4.3), the second that of CUBIC
// with C = 0.4 and beta = 0.7 (RFC 9438 §5.1). RINGLET_NETSIM_RECORD=1 writes the file anew.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <sstream>

#include "net/tcp/tcp.hpp"
#include "tests/unit/net/cut.hpp"

namespace {

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::tcp;

constexpr double kSegment = 1448;  // bytes of text in a frame of 1500
constexpr i64 kBitsPerSecond = 20'000'000;

/// Seeded, and the same on every machine.
struct Dice {
    u64 state;
    double roll() {
        u64 z = state += 0x9e37'79b9'7f4a'7c15;
        z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
        return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
    }
};

class Bulk {
public:
    Bulk(double loss, Duration rtt, u64 seed)
        : loss_(loss), rtt_(rtt), dice_{seed}, a_(1), b_(2), queue_limit_(bandwidth_delay() / 1448) {}

    /// Bytes per second that the reader got in the last nine tenths of `duration`.
    double run(Duration duration) {
        const Handle listener = *b_.tcp.listen({{}, 80}, 1);
        out_ = *a_.tcp.connect({a_.address, 0}, {b_.address, 80}, now_);
        const Instant begin = now_, warm = begin + duration / 10, end = begin + duration;
        u64 before = 0;
        while (now_ < end) {
            if (!in_) {
                if (auto h = b_.tcp.accept(listener)) in_ = *h;
            }
            step();
            if (now_ < warm) before = received_;
        }
        return static_cast<double>(received_ - before) / (static_cast<double>((duration - duration / 10).ns) / 1e9);
    }
    double theory() const {
        const double link = kBitsPerSecond / 8.0 * kSegment / 1538;
        if (loss_ == 0) return link;
        const double rtt = static_cast<double>(rtt_.ns) / 1e9;
        const double friendly = std::sqrt(1.5 / loss_), cubic = 1.054 * std::pow(rtt / loss_, 0.75);
        return std::min(std::max(friendly, cubic) * kSegment / rtt, link);
    }
    const Stats& stats() const { return a_.tcp.stats(); }

private:
    struct Host {
        std::vector<std::byte> memory;
        PacketPool pool;
        Tcp tcp;
        Ipv4Addr address;
        static Config config(u8 who) {
            Config c;
            c.send_buffer_most = c.receive_buffer_most = 1024 * 1024;
            c.secret.fill(who);
            return c;
        }
        explicit Host(u8 who)
            : memory(8192 * PacketBuffer::kSize), pool({memory.data(), memory.size()}, DmaAddr(0)),
              tcp(config(who), pool), address(Ipv4Addr::of(10, 0, 0, who)) {}
    };
    struct Frame {
        Instant at;
        IpAddr source, destination;
        std::vector<std::byte> bytes;
    };

    usize bandwidth_delay() const { return static_cast<usize>(kBitsPerSecond / 8 * rtt_.ns / 1'000'000'000); }

    void step() {
        a_.tcp.poll(now_);
        b_.tcp.poll(now_);
        static const std::vector<std::byte> chunk(65536);
        while (a_.tcp.write(out_, chunk, now_)) {
        }
        if (in_) {
            std::byte sink[16384];
            while (auto n = b_.tcp.read(*in_, sink, now_)) received_ += *n;
        }
        while (auto o = a_.tcp.output(now_)) forward(*o);
        while (auto o = b_.tcp.output(now_)) back_.push_back(frame(*o, now_ + rtt_ / 2));
        Instant next = std::min(a_.tcp.deadline(), b_.tcp.deadline());
        for (const auto* line : {&forth_, &back_})
            if (!line->empty()) next = std::min(next, line->front().at);
        now_ = std::max(next, now_);
        arrive(forth_, b_);
        arrive(back_, a_);
    }
    static Frame frame(Tcp::Outgoing& o, Instant at) { return {at, o.source, o.destination, test::joined(o.packet)}; }
    /// Through the queue and the bottleneck, where every byte takes its time.
    void forward(Tcp::Outgoing& o) {
        while (!leaving_.empty() && leaving_.front() <= now_) leaving_.pop_front();
        if (leaving_.size() >= queue_limit_ || dice_.roll() < loss_) return;
        Frame f = frame(o, now_);
        const i64 wire = static_cast<i64>(f.bytes.size()) + 20 + 38;
        free_ = std::max(free_, now_) + Duration{wire * 8 * 1'000'000'000 / kBitsPerSecond};
        leaving_.push_back(free_);
        f.at = free_ + rtt_ / 2;
        forth_.push_back(std::move(f));
    }
    void arrive(std::deque<Frame>& line, Host& to) {
        for (; !line.empty() && line.front().at <= now_; line.pop_front()) {
            const Frame& f = line.front();
            auto p = test::scatter(to.pool, f.bytes, 2048 - 128, 2048);
            if (p) to.tcp.input(f.source, f.destination, std::move(*p), now_);
        }
    }

    double loss_;
    Duration rtt_;
    Dice dice_;
    Instant now_{1'000'000'000}, free_{};
    Host a_, b_;
    usize queue_limit_;
    Handle out_;
    std::optional<Handle> in_;
    std::deque<Frame> forth_, back_;
    std::deque<Instant> leaving_;
    u64 received_ = 0;
};

struct Row {
    double loss_percent;
    i64 rtt_ms;
    double kilobytes = 0;  ///< per second
};
std::istream& operator>>(std::istream& in, Row& r) {
    return in >> r.loss_percent >> r.rtt_ms >> r.kilobytes;
}

const char* const kFile = RINGLET_NETSIM_DIR "/throughput.txt";

enum class Rows : u8 { quick, all, all_anew };

/// Slow paths simulate fast: the others take a minute under sanitizers.
bool is_quick(const Row& r) {
    return r.loss_percent == 0 || r.loss_percent == 5 || (r.loss_percent == 1 && r.rtt_ms == 200);
}

void compare(Rows which) {
    const bool record = which == Rows::all_anew;
    std::vector<Row> rows;
    if (record) {
        for (i64 rtt : {40, 200})
            for (double loss : {0.0, 0.1, 1.0, 5.0}) rows.push_back({loss, rtt});
    } else {
        std::ifstream file(kFile);
        std::string header;
        std::getline(file, header);
        for (Row r; file >> r;) rows.push_back(r);
        REQUIRE(rows.size() == 8);
    }
    for (Row& row : rows) {
        if (which == Rows::quick && !is_quick(row)) continue;
        double measured = 0, theory = 0;
        u64 timeouts = 0, undone = 0;
        const u64 seeds = row.loss_percent == 0 ? 1 : 3;
        for (u64 seed = 1; seed <= seeds; ++seed) {
            Bulk bulk(row.loss_percent / 100, Duration::from_ms(row.rtt_ms), seed);
            measured += bulk.run(Duration::from_s(row.loss_percent == 0 ? 10 : 200)) / double(seeds);
            theory = bulk.theory();
            timeouts += bulk.stats().timeouts;
            undone += bulk.stats().spurious_recoveries;
        }
        INFO("loss " << row.loss_percent << " %, RTT " << row.rtt_ms << " ms: " << measured / 1000 << " kB/s, recorded "
                     << row.kilobytes << ", theory " << theory / 1000 << ", timeouts " << timeouts << ", undone "
                     << undone);
        if (record)
            row.kilobytes = std::round(measured / 100) / 10;
        else
            CHECK(std::abs(measured / 1000 - row.kilobytes) <= 0.03 * row.kilobytes);
        CHECK(measured >= 0.8 * theory);
        CHECK(measured <= 1.2 * theory);
    }
    if (!record) return;
    std::ofstream file(kFile);
    file << "loss_% rtt_ms kilobytes_per_second\n";
    for (const Row& r : rows) file << r.loss_percent << ' ' << r.rtt_ms << ' ' << r.kilobytes << '\n';
}

}  // namespace

TEST_CASE("Throughput against loss is what it was, and what theory says") {
    compare(std::getenv("RINGLET_NETSIM_RECORD") != nullptr ? Rows::all_anew : Rows::quick);
}

TEST_CASE("Throughput against loss, every row", "[.][long]") {
    compare(Rows::all);
}
