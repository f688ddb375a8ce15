// See net.hpp. Frames begin as sound ones of every kind, are then changed here and there, and mostly get their lengths
// and checksums made right again, so that they reach the layer that they are about.
#include "tests/fuzz/net.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "net/checksum.hpp"
#include "net/ipv6.hpp"
#include "net/stack.hpp"

namespace ringlet::fuzz {
namespace {

using namespace ringlet::net;
using Frame = std::vector<u8>;

void require(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

class Script {
public:
    explicit Script(std::span<const u8> bytes) : left_(bytes) {}
    bool empty() const { return left_.empty(); }
    u8 byte() {
        if (left_.empty()) return 0;
        const u8 b = left_[0];
        left_ = left_.subspan(1);
        return b;
    }
    u32 word() { return u32(byte()) << 8 | byte(); }
    Frame take(usize n) {
        n = std::min(n, left_.size());
        Frame f(left_.begin(), left_.begin() + long(n));
        left_ = left_.subspan(n);
        return f;
    }

private:
    std::span<const u8> left_;
};

Bytes bytes_of(const Frame& f) {
    return std::as_bytes(std::span(f));
}
void put16(Frame& f, usize at, u32 v) {
    f[at] = u8(v >> 8);
    f[at + 1] = u8(v);
}
void append(Frame& f, const Frame& more) {
    f.insert(f.end(), more.begin(), more.end());
}
void append(Frame& f, const IpAddr& a) {
    std::array<std::byte, 16> b;
    a.store(b);
    for (const std::byte x : b) f.push_back(u8(x));
}

constexpr MacAddr kOurMac{{2, 0, 0, 0, 0, 1}};
constexpr Ipv4Addr kOurs = Ipv4Addr::of(10, 0, 0, 1), kPeer = Ipv4Addr::of(10, 0, 0, 9);
constexpr Ipv4Addr kOursToo = Ipv4Addr::of(10, 0, 1, 1);  // of the second interface, whose hardware address is the same

struct World {
    Loan loan{[](Loan&) {}};
    std::vector<std::byte> memory, data = std::vector<std::byte>(70'000);
    PacketPool pool;
    Stack stack;
    Instant now{1};
    IpAddr us, us_too;
    UdpHandle udp;
    net::tcp::Handle listener;
    std::vector<net::tcp::Handle> connections;

    static StackConfig config() {
        StackConfig c;
        c.addressing = Addressing::fixed;
        c.fixed = {kOurs, 24, Ipv4Addr::of(10, 0, 0, 254), {}};
        c.mac = kOurMac;
        c.ipv6 = make_ipv6;
        c.tcp.max_connections = 16;
        return c;
    }
    static InterfaceConfig second() {
        InterfaceConfig c;
        c.addressing = Addressing::fixed;
        c.fixed = {kOursToo, 24, Ipv4Addr::of(10, 0, 1, 254), {}};
        c.mac = kOurMac;
        return c;
    }
    explicit World(const InterfaceConfig& more = second())
        : memory(96 * PacketBuffer::kSize), pool(memory, DmaAddr(0x10'0000)), stack(config(), pool, {&more, 1}) {
        stack.start(now);
        for (int i = 0; i < 4; ++i) pass(Duration::from_ms(900));
        us = stack.interface().ipv6.addresses[0].address;
        us_too = stack.interface(1).ipv6.addresses[0].address;
        udp = *stack.udp().open({{}, 7});
        listener = *stack.tcp().listen({{}, 80}, 4);
        (void)stack.join(Ipv4Addr::of(239, 1, 1, 1), now);
    }
    void pass(Duration d) {
        now = now + d;
        stack.poll(now);
        for (int i = 0; i < 200; ++i) {
            u8 to = 9;
            auto p = stack.output(now, 3, to);
            if (!p) break;
            require(to < 2, "a frame for an interface that is not there");
            require(p->total_size() >= 14, "a frame is shorter than its header");
            require(p->meta().gso != PacketMeta::Gso::none || p->total_size() <= 1514,
                    "a frame is longer than the MTU");
        }
    }
    void give(const Frame& f, Script& s) {
        auto p = pool.allocate();
        if (!p) return;
        const usize first = std::min<usize>(f.size(), p->tailroom());
        if (first != 0) std::memcpy(p->append(first).data(), f.data(), first);
        if (f.size() > 60 && s.byte() % 8 == 0) {  // as a merged frame comes: over two buffers
            auto rest = pool.allocate();
            const usize cut = 54 + s.byte() % (f.size() - 54);
            if (rest && cut < first) {
                rest->window(0, 0);
                std::memcpy(rest->append(first - cut).data(), f.data() + cut, first - cut);
                p->trim_to(cut);
                p->append_fragment(std::move(*rest));
            }
        }
        const u8 how = s.byte();
        if (how % 16 == 0) p->meta().checksum = PacketMeta::Checksum::verified;
        stack.input(std::move(*p), now, how % 4 == 1 ? 1 : 0);
    }
    void act(Script& s);
    Frame frame(Script& s) const;
    Frame payload(Script& s, u8& protocol, bool v6) const;
    void check() const {
        require(pool.free() + stack.packets_held() == pool.total(), "packets are lost or doubled");
        require(stack.others_are_known(), "a protocol has something to say and is not asked");
    }
};

/// What IP carries: one of every protocol, sound before the script changes it.
Frame World::payload(Script& s, u8& protocol, bool v6) const {
    switch (s.byte() % 12) {
    case 0:
        protocol = 17;
        return {0, 9, 0, 7, 0, 12, 0, 0, 1, 2, 3, 4};
    case 1: {
        protocol = 6;
        Frame f{0x10, s.byte(), 0, 80, 0, 0, 0, s.byte(), 0, 0, 0, 0, 0x50, s.byte(), 0xff, 0xff, 0, 0, 0, 0};
        if (s.byte() % 2 == 0) {
            Frame options = s.take(4 * (s.byte() % 11));
            options.resize(options.size() / 4 * 4);
            f[12] = u8(0x50 + (options.size() / 4 << 4));
            append(f, options);
        }
        append(f, s.take(s.byte() % 64));
        return f;
    }
    case 2:
        protocol = v6 ? 58 : 1;
        return {u8(v6 ? 128 : 8), 0, 0, 0, 0, 1, 0, 2, 5, 6, 7};
    case 3: {
        protocol = v6 ? 58 : 2;
        Frame f = v6 ? Frame{130, 0, 0, 0, 0, 9, 0, 0} : Frame{0x11, 9, 0, 0, 0, 0, 0, 0};
        if (v6) append(f, IpAddr{});
        append(f, {2, 100, 0, 0});
        return f;
    }
    case 4:
    case 5: {  // solicitation or advertisement
        protocol = 58;
        Frame f{u8(135 + s.byte() % 2), 0, 0, 0, u8(s.byte() & 0xe0), 0, 0, 0};
        append(f, s.byte() % 4 == 0 ? IpAddr::of(u64{0xfe80} << 48, s.byte()) : us);
        append(f, {u8(1 + s.byte() % 2), 1, 2, 0, 0, 0, 0, s.byte()});
        return f;
    }
    case 6:
    case 7: {  // router advertisement
        protocol = 58;
        Frame f{134, 0, 0, 0, 64, s.byte(), 0, s.byte(), 0, 0, 0, 0, 0, 0, 0, 0};
        Frame prefix{3, 4, 64, 0xc0, 0, 0, s.byte(), 9, 0, 0, s.byte(), 9, 0, 0, 0, 0};
        append(prefix, IpAddr::of(u64{0x2001'0db8} << 32 | s.byte() % 16, 0));
        append(f, prefix);
        append(f, {5, 1, 0, 0, 0, 0, 5, s.byte()});
        Frame dns{25, 3, 0, 0, 0, 0, 0, s.byte()};
        append(dns, IpAddr::of(u64{0x2001'0db8} << 32, s.byte()));
        append(f, dns);
        for (u8 n = f[5] & 7; n != 0; --n) {
            const u8 units = 1 + s.byte() % 3;
            Frame route{24, units, s.byte(), s.byte(), 0, 0, 0, s.byte()};
            append(route, s.take((units - 1) * 8u));
            route.resize(units * 8u);
            append(f, route);
        }
        return f;
    }
    case 8: {  // redirect
        protocol = 58;
        Frame f{137, 0, 0, 0, 0, 0, 0, 0};
        append(f, IpAddr::of(u64{0xfe80} << 48, s.byte()));
        append(f, IpAddr::of(u64{0x2001'0db8} << 32, s.byte()));
        return f;
    }
    case 9: {  // an error about something
        protocol = v6 ? 58 : 1;
        Frame f{u8(v6 ? 1 + s.byte() % 4 : 3 + 8 * (s.byte() % 2)), u8(s.byte() % 6), 0, 0, 0, 0, 5, s.byte()};
        append(f, frame(s));
        return f;
    }
    case 10: {
        protocol = v6 ? u8(s.byte() % 4 == 0 ? 0 : 60) : u8(s.byte());
        Frame f{u8(s.byte() % 2 == 0 ? 17 : 60), u8(s.byte() % 3)};
        append(f, s.take(s.byte() % 40));
        return f;
    }
    default: {
        protocol = 44;
        Frame f{17, 0, u8(s.byte() % 4), u8(s.byte() & 0xf9), 0, 0, 0, u8(s.byte() % 4)};
        append(f, Frame(8 * (1 + s.byte() % 8), s.byte()));
        return f;
    }
    }
}

/// An IP packet, or ARP, without the Ethernet header.
Frame World::frame(Script& s) const {
    const u8 kind = s.byte();
    if (kind % 8 == 0) {
        Frame f{0, 1, 8, 0, 6, 4, 0, u8(1 + s.byte() % 2), 2, 0, 0, 0, 0, 9, 10, 0, 0, u8(s.byte() % 16)};
        append(f, {0, 0, 0, 0, 0, 0, 10, 0, 0, u8(s.byte() % 4)});
        return f;
    }
    const bool v6 = kind % 2 == 1;
    u8 protocol = 0;
    Frame body = payload(s, protocol, v6);
    IpAddr source = v6 ? IpAddr::of(u64{0xfe80} << 48, s.byte() % 8) : IpAddr(kPeer);
    IpAddr to = v6 ? us : IpAddr(kOurs);
    const u8 whom = s.byte() % 8;
    if (whom == 0) to = v6 ? kAllNodes : IpAddr(Ipv4Addr::of(239, 1, 1, 1));
    if (whom == 1 || whom == 2) to = v6 ? us_too : IpAddr(kOursToo);
    if (s.byte() % 16 == 0) source = to;
    for (u8 n = s.byte() % 4; n != 0 && !body.empty(); --n) body[s.word() % body.size()] = s.byte();
    const usize field = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;
    if (s.byte() % 16 != 0 && body.size() >= field + 2 &&
        (protocol == 6 || protocol == 17 || protocol == 58 || protocol == 1 || protocol == 2)) {
        put16(body, field, 0);
        InternetSum sum;
        if (protocol > 2) sum = InternetSum::pseudo_header(source, to, protocol, body.size());
        sum.add(bytes_of(body));
        put16(body, field, sum.checksum());
    }
    Frame f;
    if (v6) {
        f = {0x60, 0, 0, 0, u8(body.size() >> 8), u8(body.size()), protocol, u8(s.byte() % 4 == 0 ? s.byte() : 255)};
        if (protocol == 58 && !body.empty() && body[0] == 130) f[7] = 1;
        append(f, source);
        append(f, to);
    } else {
        f = Frame(20);
        f[0] = 0x45;
        put16(f, 2, u32(20 + body.size()));
        f[5] = u8(s.byte() % 4);
        if (s.byte() % 4 == 0) put16(f, 6, s.word() & 0x3fff);
        f[8] = protocol == 2 ? 1 : 64;
        f[9] = protocol;
        const be32 from = source.ipv4().value, dst = to.ipv4().value;
        std::memcpy(&f[12], &from, 4);
        std::memcpy(&f[16], &dst, 4);
    }
    for (int n = s.byte() % 8 == 0 ? s.byte() % 4 : 0; n != 0; --n) f[s.byte() % f.size()] = s.byte();
    if (!v6) put16(f, 10, 0), put16(f, 10, internet_checksum(bytes_of(f)));
    append(f, body);
    return f;
}

void World::act(Script& s) {
    std::byte buffer[300];
    switch (s.byte() % 16) {
    case 0:
        pass(Duration::from_ms(s.word()));
        return;
    case 1:
        pass(Duration::from_s(s.byte()));
        return;
    case 2:
        (void)stack.udp().receive_from(udp, buffer);
        return;
    case 3: {
        const IpAddr to = s.byte() % 2 == 0 ? IpAddr(kPeer) : IpAddr::of(u64{0xfe80} << 48, s.byte() % 8);
        (void)stack.send_to(udp, {to, 9}, Bytes(data).first(s.word() % data.size()), now);
        return;
    }
    case 4:
        if (const auto h = stack.tcp().accept(listener)) connections.push_back(*h);
        return;
    case 5: {
        const IpAddr to = s.byte() % 2 == 0 ? IpAddr(kPeer) : IpAddr::of(u64{0xfe80} << 48, s.byte() % 8);
        if (const auto h = stack.connect({to, u16(0x1000 + s.byte())}, now)) connections.push_back(*h);
        return;
    }
    case 6:
        for (const auto& h : connections) (void)stack.tcp().read(h, buffer, now);
        return;
    case 7:
        for (const auto& h : connections) (void)stack.tcp().write(h, Bytes(data).first(s.word() % 3000), now);
        return;
    case 10: {
        const DmaAddr at(0x10'0000 + (u64(data.data()) - u64(memory.data())));
        for (const auto& h : connections) {
            const usize n = s.word() % data.size();
            if (n != 0) (void)stack.tcp().lend(h, Bytes(data).first(n), at, &loan, now);
        }
        return;
    }
    case 8:
        if (connections.empty()) return;
        stack.tcp().close(connections.back(), now);
        connections.pop_back();
        return;
    case 9: {  // anything at all
        Frame f(14);
        std::memcpy(f.data(), kOurMac.octets.data(), 6);
        f[6] = 2;
        f[11] = 9;
        put16(f, 12, s.byte() % 2 == 0 ? 0x86dd : 0x0800);
        append(f, s.take(s.byte()));
        give(f, s);
        return;
    }
    default: {
        const Frame body = frame(s);
        Frame f(14);
        const bool v6 = body[0] >> 4 == 6;
        std::memcpy(f.data(), kOurMac.octets.data(), 6);
        if (v6 && body[24] == 0xff) f = {0x33, 0x33, body[36], body[37], body[38], body[39], 0, 0, 0, 0, 0, 0, 0, 0};
        f[6] = 2;
        f[11] = 9;
        put16(f, 12, body[0] == 0 ? 0x0806 : v6 ? 0x86dd : 0x0800);
        append(f, body);
        if (f.size() > 1514) f.resize(1514);
        give(f, s);
    }
    }
}

}  // namespace

void run_stack(std::span<const u8> bytes) {
    World w;
    Script s(bytes);
    for (int i = 0; i < 400 && !s.empty(); ++i) {
        w.act(s);
        if (i % 4 == 0) w.pass({});
        w.check();
    }
    // Whatever happened: it goes on.
    for (int i = 0; i < 3; ++i) w.pass(Duration::from_s(100));
    w.check();
    require(w.stack.udp().local(w.udp).has_value(), "the socket is gone");
}

void run_extensions(std::span<const u8> bytes) {
    Frame f(40);
    f[0] = 0x60;
    f[6] = bytes.empty() ? 0 : bytes[0];
    if (!bytes.empty()) f.insert(f.end(), bytes.begin() + 1, bytes.end());
    const Frame exact(f);  // nothing behind it that AddressSanitizer would not see
    const ExtensionChain c = walk_extensions(bytes_of(exact));
    using Outcome = ExtensionChain::Outcome;
    const bool placed = c.outcome == Outcome::upper_layer || c.outcome == Outcome::fragment;
    if (placed) require(c.offset >= 40 && c.offset <= f.size() && c.named_at < c.offset, "a header beyond the packet");
    if (c.outcome == Outcome::fragment) require(c.offset + 8u <= f.size(), "a fragment header beyond the packet");
    if (c.outcome == Outcome::problem || c.outcome == Outcome::problem_unless_multicast)
        require(c.pointer < f.size(), "a pointer beyond the packet");
    if (c.outcome == Outcome::upper_layer) require(f[c.named_at] == c.protocol, "the field names something else");
}

void run_reassembly(std::span<const u8> bytes) {
    std::vector<std::byte> memory(64 * PacketBuffer::kSize);
    PacketPool pool(memory, DmaAddr(0x10'0000));
    Statistics stats;
    Reassembly r(pool, stats);
    Script s(bytes);
    Instant now{1};
    while (!s.empty()) {
        const u8 id = s.byte() % 4;
        const u32 offset = (s.byte() % 12) * 8u;
        usize length = s.byte() % 41;
        const bool more = s.byte() % 4 != 0;
        if (more && s.byte() % 8 != 0) length = length / 8 * 8;
        auto p = pool.allocate();
        require(p.has_value(), "reassembly holds the whole pool");
        std::memset(p->append(20).data(), 0xaa, 20);
        // The byte at each place is a function of datagram and place: what comes out is right or it is not.
        const MutableBytes piece = p->append(length);
        for (usize i = 0; i < length; ++i) piece[i] = std::byte(id * 7 + (offset + i) * 3);
        const Reassembly::Key key{kPeer, kOurs, id, 17};
        if (auto whole = r.add(key, {std::move(*p), 20, offset, more}, Duration::from_s(30), now)) {
            usize at = 0;
            whole->for_each_fragment([&](MutableBytes b, DmaAddr) {
                for (const std::byte x : b) {
                    require(x == (at < 20 ? std::byte{0xaa} : std::byte(id * 7 + (at - 20) * 3)),
                            "a byte out of place");
                    ++at;
                }
            });
            require(at > 20, "an empty datagram");
        }
        if (s.byte() % 16 == 0) now = now + Duration::from_s(s.byte());
        r.poll(now, [](PacketBuffer first) { require(first.size() >= 20, "a first fragment without its header"); });
        require(pool.free() + r.packets_held() == pool.total(), "fragments are lost or doubled");
        require(r.packets_held() <= pool.total() / 8, "more than an eighth is held");
    }
    r.poll(now + Duration::from_s(31), [](PacketBuffer) {});
    require(pool.free() == pool.total(), "something stays for ever");
}

}  // namespace ringlet::fuzz
