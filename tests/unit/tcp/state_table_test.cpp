// RFC 9293 §3.10.7 as one table: every state meets every kind of segment. What comes back, and the state afterwards.
// What the segments mean in detail (options, windows, data) is in the other files; this is that no cell is forgotten.
#include <sstream>

#include "harness.hpp"

using namespace tcp_test;

namespace {

// Where Harness::to() leaves each state, relative to the two ISNs: SND.NXT and RCV.NXT. Columns as in kAllStates.
//                    CLOSED LISTEN SYN-SENT SYN-RCVD ESTAB FIN-W-1 FIN-W-2 CLOSE-W CLOSING LAST-ACK TIME-W
const u32 kSndNxt[] = {1, 1, 1, 1, 1, 2, 2, 1, 2, 2, 2};
const u32 kRcvNxt[] = {1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2};

struct Kind {
    const char* name;
    i32 seq;  ///< relative to RCV.NXT
    i32 ack;  ///< relative to SND.NXT
    u8 flags;
    const char* text;
    /// Per state: the answer (- none, A <ACK>, R <RST>, S <SYN,ACK>) and the state afterwards (= as before,
    /// c CLOSED, r SYN-RECEIVED, e ESTABLISHED, 2 FIN-WAIT-2, w CLOSE-WAIT, t TIME-WAIT).
    const char* row;
    const char* rule;
};

constexpr u8 U = flag::urg;
constexpr i32 kFar = 200'000;

const Kind kTable[] = {
    // clang-format off
    //                                             CLO LIS SYS SYR EST FW1 FW2 CLW CLG LAK TIW
    {"RST, exact",            0,    0, R | A, "",  "-= -= -c -c -c -c -c -c -c -c -c", "§3.10.7.4 second; .2 first; .3 second"},
    {"RST, in the window",    5,    0, R | A, "",  "-= -= -c A= A= A= A= A= A= A= A=", "§3.10.7.4 second, RFC 5961 §3.2"},
    {"RST, outside",          kFar, 0, R | A, "",  "-= -= -c -= -= -= -= -= -= -= -=", "§3.10.7.4 first"},
    {"RST without ACK",       0,    0, R,     "",  "-= -= -= -c -c -c -c -c -c -c -c", "§3.10.7.3 second"},
    {"RST of a wrong ACK",    0, 1000, R | A, "",  "-= -= -= -c -c -c -c -c -c -c -c", "§3.10.7.3 first"},
    {"SYN, new",              5,    0, S,     "",  "R= Sr Sr -c A= A= A= A= A= A= Sr", "§3.10.7.4 fourth, RFC 5961 §4.2, RFC 6191; .2 third; .3 fourth"},
    {"SYN, far away",      kFar,    0, S,     "",  "R= Sr Sr A= A= A= A= A= A= A= Sr", "§3.10.7.4 first, RFC 6191"},
    {"SYN and FIN",           5,    0, S | F, "",  "R= -= Sr -c A= A= A= A= A= A= A=", "§3.10.7.2 fourth: discarded; .4 fourth"},
    {"SYN,ACK",               5,    0, S | A, "",  "R= R= Ae -c A= A= A= A= A= A= A=", "§3.10.7.3 fourth; .2 second; .4 fourth"},
    {"SYN,ACK of a wrong ACK", 5, 1000, S | A, "", "R= R= R= -c A= A= A= A= A= A= A=", "§3.10.7.3 first"},
    {"no ACK",                0,    0, 0,  "text", "R= -= -= -= -= -= -= -= -= -= -=", "§3.10.7.4 fifth; .2 fourth; .3 fifth; .1"},
    {"FIN without ACK",       0,    0, F,     "",  "R= -= -= -= -= -= -= -= -= -= -=", "§3.10.7.4 fifth; .3 eighth"},
    {"ACK of all",            0,    0, A,     "",  "R= R= -= -e -= -2 -= -= -t -c -=", "§3.10.7.4 fifth; .1; .2 second"},
    {"ACK of less",           0,   -1, A,     "",  "R= R= R= R= -= -= -= -= -= -= -=", "§3.10.7.4 fifth: a duplicate is ignored; .3 first"},
    {"ACK far too old",       0, -kFar, A,    "",  "R= R= R= R= A= A= A= A= A= A= A=", "RFC 5961 §5.2"},
    {"ACK of the future",     0, 1000, A,     "",  "R= R= R= R= A= A= A= A= A= A= A=", "§3.10.7.4 fifth; .3 first"},
    {"text",                  0,    0, A,  "text", "R= R= -= -e -= -2 -= -= -t -c -=", "§3.10.7.4 seventh; after a FIN ignored"},
    {"text, pushed",          0,    0, A | P, "text", "R= R= -= -e -= -2 -= -= -t -c -=", "§3.10.7.4 seventh"},
    {"text, urgent",          0,    0, A | U, "text", "R= R= -= -e -= -2 -= -= -t -c -=", "§3.10.7.4 sixth"},
    {"text behind a gap",    10,    0, A,  "text", "R= R= -= Ae A= A2 A= -= -t -c -=", "§3.10.7.4 seventh, RFC 5681 §4.2"},
    {"text beyond the window", kFar, 0, A, "text", "R= R= -= A= A= A= A= A= A= A= A=", "§3.10.7.4 first"},
    {"text, old",            -4,    0, A,  "text", "R= R= -= A= A= A= A= A= A= A= A=", "§3.10.7.4 first"},
    {"text, partly old",     -2,    0, A,  "text", "R= R= -= -e -= -2 -= -= -t -c -=", "§3.10.7.4 first: trimmed"},
    {"FIN",                   0,    0, F | A, "",  "R= R= -= Aw Aw At At -= -t -c -=", "§3.10.7.4 eighth"},
    {"FIN with text",         0,    0, F | A, "text", "R= R= -= Aw Aw At At -= -t -c -=", "§3.10.7.4 seventh, eighth"},
    {"FIN behind a gap",     10,    0, F | A, "",  "R= R= -= Ae A= A2 A= -= -t -c -=", "§3.10.7.4 eighth: not yet"},
    {"FIN, old",             -1,    0, F | A, "",  "R= R= -= A= A= A= A= A= A= A= A=", "§3.10.7.4 first; TIME-WAIT starts anew"},
    // clang-format on
};

State named(char c, State before) {
    switch (c) {
    case 'c':
        return State::closed;
    case 'r':
        return State::syn_received;
    case 'e':
        return State::established;
    case '2':
        return State::fin_wait_2;
    case 'w':
        return State::close_wait;
    case 't':
        return State::time_wait;
    default:
        return before == State::listen ? State::closed : before;  // a listener has no connection to show
    }
}

char answer(Harness& t) {
    const auto s = t.next();
    if (!s) return '-';
    t.expect_none();
    if ((s->flags & R) != 0) return 'R';
    return (s->flags & S) != 0 ? 'S' : 'A';
}

}  // namespace

TEST_CASE("Every state meets every kind of segment") {
    for (const Kind& k : kTable) {
        std::istringstream row(k.row);
        for (usize i = 0; i < std::size(kAllStates); ++i) {
            const State before = kAllStates[i];
            std::string cell;
            row >> cell;
            INFO(k.name << " in " << to_string(before) << ", " << k.rule << ": " << cell);
            REQUIRE(cell.size() == 2);
            Harness t;
            t.to(before);
            t.send(kRcvNxt[i] + u32(k.seq), kSndNxt[i] + u32(k.ack), k.flags, k.text);
            CHECK(answer(t) == cell[0]);
            CHECK(to_string(t.state()) == to_string(named(cell[1], before)));
            CHECK(t.tcp->stats().segments_in != 0);
        }
        std::string more;
        CHECK_FALSE(row >> more);
    }
}

TEST_CASE("TIME-WAIT begins anew when the peer's FIN comes again (§3.10.7.4 eighth)") {
    Harness t;
    t.to_time_wait();
    t.advance(Duration::from_s(50));
    t.send(1, 2, F | A);
    t.expect(2, 2, A);
    t.advance(Duration::from_s(50));
    CHECK(t.state() == State::time_wait);
    t.advance(Duration::from_s(11));
    CHECK(t.tcp->connections() == 0);
}

TEST_CASE("TIME-WAIT ends for each connection in its own time, also for one that began anew") {
    Harness t;
    t.listen();
    u32 isn[3];
    const auto answer = [&](u16 i) {  // the peer's FIN, for the first time or again
        t.peer_port = static_cast<u16>(1000 + i), t.our_isn = isn[i];
        t.send(1, 2, F | A);
        t.expect(2, 2, A);
    };
    for (u16 i = 0; i < 3; ++i) {
        t.peer_port = static_cast<u16>(1000 + i);
        t.send(0, 0, S);
        t.drain();
        isn[i] = t.our_isn;
        t.send(1, 1, A);
        t.tcp->close(*t.tcp->accept(t.listener), t.now);
        t.expect(1, 1, F | A);
        answer(i);
        t.advance(Duration::from_s(10));
    }
    answer(0);  // 30 s: until 90 s; the others until 70 s and 80 s
    t.advance(Duration::from_s(39));
    CHECK(t.tcp->connections() == 3);
    for (u32 left = 3; left-- != 0; t.advance(Duration::from_s(9))) {
        CHECK(t.tcp->deadline() == t.now + Duration::from_s(1));
        t.advance(Duration::from_s(1));
        CHECK(t.tcp->connections() == left);
    }
    CHECK(t.tcp->deadline().is_never());
}
