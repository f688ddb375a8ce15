// An SNTP client (RFC 4330, with the checks of RFC 5905 §8) as a value: it is told the time of both clocks, says when
// to ask whom, and what is wrong with the wall clock. A server is believed only when it echoes a random number, is
// itself in step, and, once the clock is set, when a second answer confirms a jump. Context: the owner's.
#pragma once

#include <optional>
#include <utility>

#include "lib/bytes.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"

namespace ringlet::net {

class Sntp {
public:
    static constexpr u16 kPort = 123;
    static constexpr usize kMessageBytes = 48;
    static constexpr usize kServers = 4;
    static constexpr Duration kPatience = Duration::from_s(3);        ///< for an answer
    static constexpr Duration kShortestPause = Duration::from_s(16);  ///< RFC 4330 §10: never below 15 s
    static constexpr Duration kShortestPoll = Duration::from_s(64), kLongestPoll = Duration::from_s(1024);
    static constexpr Duration kLargestSlew = Duration::from_ms(128);  ///< RFC 5905's step threshold

    explicit Sntp(SipKey key) : key_(key) {}

    /// Asks these, in this order, from `now` on; the same as before: nothing changes.
    void set_servers(std::span<const IpAddr> servers, Instant now);

    /// Writes the request that is due into `to` (kMessageBytes) and says to whom, port 123, from a fresh socket.
    std::optional<IpAddr> output(MutableBytes to, Instant now);
    bool is_waiting() const { return waiting_; }
    /// What came from the server that was asked. `wall` is our wall clock at `now`, in nanoseconds since 1970; 0:
    /// unknown.
    void input(Bytes message, u64 wall, Instant now);
    /// The server cannot be reached.
    void failed(Instant now);
    void poll(Instant now);
    Instant deadline() const { return waiting_ || !servers_.empty() ? deadline_ : Instant::never(); }

    struct Correction {
        enum class How : u8 { step, slew } how = How::step;
        i64 offset_ns = 0;  ///< to be added to the wall clock, which may be unknown (0) when `unix_ns` is to be used
        u64 unix_ns = 0;    ///< what the wall clock should be at `at`
        Instant at;
    };
    /// What is to be done to the clock, once.
    std::optional<Correction> take_correction() { return std::exchange(correction_, std::nullopt); }

    struct Status {
        bool synchronised = false;
        IpAddr server;                        ///< asked now, or last
        u8 stratum = 0;                       ///< of that server
        i64 offset_ns = 0;                    ///< our error at the last good answer, positive: we were late
        Duration delay;                       ///< there and back
        Instant last, next;                   ///< good answer; question
        u64 sent = 0, good = 0, refused = 0;  ///< refused: answers that were not believed
    };
    Status status() const;

private:
    enum class Verdict : u8 { good, lie, go_away, slow_down };
    Verdict judge(Bytes message, u64& unix_ns, Duration& delay, Instant now) const;
    void on_good(u64 unix_ns, u64 wall, Instant now);
    void next_server(Instant now);
    u64 random() { return siphash(key_, ++counter_, 123); }

    SipKey key_;
    u64 counter_ = 0;
    FixedVector<IpAddr, kServers> servers_;
    u8 server_ = 0, denied_ = 0;  // denied_: bits of servers that said "never again"
    u8 failures_ = 0;             // in a row
    bool waiting_ = false, due_ = false;
    u64 nonce_ = 0;  // our transmit timestamp: random, so that only who saw it can answer
    Instant sent_at_;
    Duration poll_interval_ = kShortestPoll;
    Instant deadline_ = Instant::never();
    std::optional<i64> doubt_;  // an offset too large to believe once
    std::optional<Correction> correction_;
    Status status_;
};

}  // namespace ringlet::net
