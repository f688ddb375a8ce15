// The network as threads see it: one monitor around the stack and the NIC's queues. Whoever holds the monitor may run
// the stack, and whoever waits does: an application that sleeps in a socket call or in Selector::wait() is itself woken
// by the interrupt ("leads"), so a request costs no switch to the network thread. That thread serves interrupts and
// timers while nobody leads.
// Wake-up edges: interrupt -> pending_ then leader_ (both sequentially consistent); hand-over -> leader_ then pending_.
// Either the interrupt sees the new leader, or the hand-over sees the pending work.
// Context: thread, unless a function says otherwise; nothing may be called with a lock of rank <= net held.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/sched/event.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "kernel/time/clock.hpp"
#include "lib/list.hpp"
#include "net/link_control.hpp"
#include "net/pump.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

/// For timeouts: wait as long as it takes.
inline constexpr Duration kForever{INT64_MAX};

class Selector;

/// One line of netstat: a TCP connection or listener, or a UDP socket.
struct SocketInfo {
    enum class Kind : u8 { tcp, udp } kind = Kind::tcp;
    tcp::Info tcp;
    UdpSocketInfo udp;
};

struct PingReply {
    Duration round_trip;
    u8 ttl = 0;
    u16 bytes = 0;  ///< payload bytes that came back, all checked
};

/// A counter snapshot.
struct NetStatistics {
    Statistics stack;
    tcp::Stats tcp;
    usize packets_total = 0, packets_free = 0;
    u64 packets_exhausted = 0;
};

namespace detail {

/// A thread asleep in a socket call; lives on its stack.
struct Waiter : ListNode<> {
    kernel::Event event;
    std::atomic<kernel::Event*> wake{&event};  ///< the service's own while this thread leads
    /// Context: any. Without the monitor, only what was changed before the call is sure to be seen.
    void rouse() { wake.load()->set(); }
};

/// Wants to know whenever a socket may have become ready for more; for whoever has waiters of his own. Called under the
/// monitor: quick, takes no lock of a rank above `readiness`. It goes away after the socket.
struct Observer {
    void (*stirred)(Observer& self);
};

struct ReadyTag;
struct MemberTag;

/// Who wants to know about one socket: the object behind tcp::user_data(). One heap block per socket.
struct Watch : ListNode<ReadyTag>, ListNode<MemberTag> {
    bool is_queued() const { return ListNode<ReadyTag>::linked(); }
    enum class Kind : u8 { stream, listener, datagram } kind = Kind::stream;
    tcp::Handle tcp;
    UdpHandle udp;
    List<Waiter> waiters;
    Selector* selector = nullptr;
    Observer* observer = nullptr;
    u64 token = 0;
    u8 interest = 0;
};

/// A protocol above the sockets that runs under the monitor: name resolution, time. It is one more reader and writer of
/// the stack's sockets, which have no Watch; it lives as long as the service. It runs after a round of the stack in
/// which such a socket became ready or the addressing changed, when its deadline is due, and when it is roused.
struct Agent : ListNode<> {
    /// Looks at its sockets and timers, sets `deadline`.
    enum class Did : u8 { nothing, changed, sent, both };  ///< changed: its waiters want to know; sent: to be pumped
    using Run = Did (*)(Agent& self, Stack& stack, Instant now);
    explicit constexpr Agent(Run r) : run(r) {}
    Run run;
    Instant deadline = Instant::never();
    List<Waiter> waiters;
};

/// Everything under the monitor.
struct Core {
    std::optional<Stack> stack;                  ///< empty until Service::open()
    std::array<void*, kMostInterfaces> links{};  ///< by the number of their interface
    bool (*pump_links)(Core& core, Instant now, Round round) = nullptr;
    bool (*watch_link)(void* link, Instant now) = nullptr;
    std::array<LinkControl*, kMostInterfaces> controls{};  ///< of the links that have one
    List<Waiter> stack_waiters;                            ///< for an address or an echo reply
    List<Agent> agents;
    Instant agents_due = Instant::never();           ///< the earliest of their deadlines, or: now
    Instant thread_sleeps_until = Instant::never();  ///< the network thread's alarm; never moved later, only run out
    Instant leader_sleeps_until = Instant::never();  ///< the leading application's

    /// A round when all is quiet, kSecondLook after frames last moved: it finds what a bell or an interrupt should have
    /// told, on emulators that drop fences (docs/virtio.md). More of them while a device keeps what it should send. A
    /// machine at rest is left at rest.
    static constexpr Duration kSecondLook = Duration::from_ms(100);
    Instant second_look = Instant::never();
    u64 frames_seen = 0;

    bool has(u8 interface) const { return stack && interface < stack->interface_count(); }
    /// Receive, timers, send, kick, rearm, wake. True: call again at once.
    bool pump(Instant now);
    bool run_agents(Instant now);
    void plan_second_look(Instant now);
    /// Something was asked of an agent: the next pump() runs them.
    void rouse_agents() { agents_due = {}; }
    /// When pump() must run at the latest.
    Instant deadline() const {
        const Instant stacks = stack->deadline();
        const Instant due = stacks < agents_due ? stacks : agents_due;
        return due < second_look ? due : second_look;
    }
    /// Hands what became ready to its waiters and selectors.
    void wake_ready();
    void tell(void* watch);
    void notify(Watch& watch);
    void tell_datagrams();
    [[gnu::cold]] void tell_change();
};

// Core's calls to links of a type: to the only one, to any.
template <Link L> bool pump_one(Core& core, Instant now, Round round) {
    return net::pump(*static_cast<L*>(core.links[0]), *core.stack, now, round);
}
template <Link L> bool watch_one(void* link, Instant now) {
    return static_cast<L*>(link)->watch(now);
}

}  // namespace detail

class Service {
public:
    Service() = default;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// Once, at boot, before any other call: builds the stack on `links` (a NullLink when there is no NIC) and takes
    /// mac, mtu and offloads from each. `config` is the first one's, `more` are the others', in their order; at most
    /// kMostInterfaces. Links and `pool` live as long as the service.
    template <Link L>
    Result<> open(std::span<L* const> links, PacketPool& pool, StackConfig config,
                  std::span<InterfaceConfig> more = {}) {
        if (links.empty() || links.size() != more.size() + 1 || links.size() > kMostInterfaces)
            return fail(Error::invalid);
        Opened all{.pump =
                       [](detail::Core& core, Instant now, Round round) {
                           std::array<L*, kMostInterfaces> to;
                           const u8 count = core.stack->interface_count();
                           for (u8 i = 0; i < count; ++i) to[i] = static_cast<L*>(core.links[i]);
                           return net::pump(std::span<L* const>(to.data(), count), *core.stack, now, round);
                       },
                   .watch = detail::watch_one<L>};
        if (links.size() == 1) all.pump = detail::pump_one<L>;
        for (usize i = 0; i < links.size(); ++i) {
            L& link = *links[i];
            InterfaceConfig& c = i == 0 ? config : more[i - 1];
            c.mac = link.mac();
            c.mtu = link.mtu();
            c.offloads = link.offloads();
            all.links[i] = &link;
            if constexpr (requires { link.control(); }) all.controls[i] = link.control();
            // The stack knows its groups, and looks at each packet's: a link with filters must let them all through.
            if (all.controls[i] != nullptr) (void)all.controls[i]->set_rx_mode({.all_multicast = true});
        }
        return open(all, pool, config, more);
    }
    /// With one link.
    template <Link L> Result<> open(L& link, PacketPool& pool, const StackConfig& config) {
        L* const one[] = {&link};
        return open(std::span<L* const>(one), pool, config);
    }
    /// The network thread's body; returns after stop(). Exactly one thread runs it.
    void run();
    /// Spawns that thread ("net").
    Result<> start();
    void stop();

    /// The driver's wake callback: something arrived or there is room again. Context: any, interrupts included.
    void interrupt();
    static void on_interrupt(void* service) { static_cast<Service*>(service)->interrupt(); }

    /// Interfaces go by number, from 0. One that is not there has no hardware address.
    InterfaceInfo interface(u8 number = 0);
    u8 interface_count();
    NetStatistics statistics();
    /// Filters, modes, queues and interrupts of the NIC: calls `use` under the monitor and returns what it returns.
    /// unsupported: no NIC, or one whose driver has no control channel. `use` must not print or call the service.
    Result<> control(FunctionRef<Result<>(LinkControl&)> use, u8 interface = 0);
    /// Replaces the addressing at run time. invalid: an address that cannot be ours, prefix > 32, no such interface.
    Result<> configure(Addressing addressing, const Ipv4Config& fixed, u8 interface = 0);
    /// Waits until an interface has an address, and tells the first that has; timed_out.
    Result<Ipv4Config> wait_for_address(Duration timeout);
    /// Gives the DHCP lease back (RFC 2131 §4.4.6): the address is gone and the client stopped when this returns. For
    /// an orderly end of the machine. timed_out: the address is a fixed one.
    Result<> release_address(Duration timeout = Duration::from_s(1), u8 interface = 0);
    /// Asks the DHCP server to prolong the lease now.
    void renew_address(u8 interface = 0);
    /// Visits a snapshot, without the monitor held: `visit` may print. no_memory.
    Result<> for_each_socket(FunctionRef<void(const SocketInfo&)> visit);
    Result<> for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit);

    /// Routes of IPv4 (net/routes.hpp): invalid, exists, no_space; not_found.
    Result<> add_route(const RouteInfo& route);
    Result<> remove_route(Ipv4Addr destination, u8 prefix);
    FixedVector<RouteInfo, Routes::kEntries> routes();

    /// One ICMP echo with `bytes` of payload. timed_out, unreachable, too_large, no_space (too many at once).
    /// `scope`: as Endpoint::scope.
    Result<PingReply> ping(IpAddr to, u16 bytes, Duration timeout, u16 scope = 0);

    /// Sends what sockets in a Selector have written, without waiting for the next Selector::wait(). Needed only
    /// before long computations.
    void flush();

    // --- for TcpStream, UdpSocket, Selector -----------------------------------------------------------------------
    using Monitor = kernel::Guarded<detail::Core, kernel::Rank::net, kernel::Mutex>;
    Monitor::Access lock() { return monitor_.lock(); }
    /// The end of a wait that starts now; never for kForever.
    static Instant after(Duration timeout) { return timeout == kForever ? Instant::never() : kernel::now() + timeout; }
    /// Sleeps until `ready()` (evaluated under the monitor) or the deadline (false), running the stack meanwhile when
    /// nobody else does. `waiter` must be on the list that the wake-up walks.
    template <class Pred> bool wait(Monitor::Access& held, detail::Waiter& waiter, Instant deadline, Pred ready) {
        const bool leads = try_lead();
        kernel::Event& event = leads ? leader_event_ : waiter.event;
        waiter.wake.store(&event);
        bool in_time = true, again;
        while (true) {
            // All that the event can have been set for is looked at below, so what it says now is of no use: without
            // this, being woken by oneself would cost a second round.
            event.clear();
            const Instant now = kernel::now();
            again = pump(held, now);
            if (ready()) break;
            if (now >= deadline) {
                in_time = false;
                break;
            }
            Instant until = again ? now : deadline;
            if (leads) {
                if (const Instant due = held->deadline(); due < until) until = due;
                held->leader_sleeps_until = until;
            }
            held.release();
            if (!again) event.wait_until(until);
            held.acquire();
        }
        waiter.wake.store(&waiter.event);
        if (leads) give_up_lead(held);
        if (again) [[unlikely]]
            leader_.load()->set();  // what this round has left in the device is no longer ours to fetch
        return in_time;
    }
    /// After an application's write or close: sends it from this thread.
    void push_output(Monitor::Access& held);

private:
    friend class Selector;
    struct Opened {
        bool (*pump)(detail::Core&, Instant, Round);
        bool (*watch)(void*, Instant);
        std::array<void*, kMostInterfaces> links{};
        std::array<LinkControl*, kMostInterfaces> controls{};
    };
    Result<> open(const Opened& links, PacketPool& pool, const StackConfig& config,
                  std::span<const InterfaceConfig> more);
    bool pump(Monitor::Access& held, Instant now) {
        pending_.store(false);
        return held->pump(now);
    }
    bool try_lead();
    void give_up_lead(Monitor::Access& held);
    /// The network thread must not sleep past the stack's deadline when nobody leads.
    void cover_deadline(Monitor::Access& held);

    Monitor monitor_;
    // Both live as long as the service: an interrupt on another CPU may still set one just after the lead has changed.
    kernel::Event thread_event_, leader_event_;
    std::atomic<bool> pending_{false};
    std::atomic<kernel::Event*> leader_{&thread_event_};
    std::atomic<bool> stopping_{false};
};

}  // namespace ringlet::net
