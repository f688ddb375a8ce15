// The monitor, who leads, and the questions about the stack as a whole. Context: thread; interrupt() any.
#include "net/api/service.hpp"

#include <memory>
#include <new>

#include "kernel/log.hpp"
#include "kernel/sched/thread.hpp"
#include "net/api/selector.hpp"

namespace ringlet::net {

namespace {

void report_conflict(const Stack& stack, u8 interface) {
    const AddressConflict& c = stack.arp(interface).conflict();
    char address[kAddressText], mac[18];
    kernel::log(kernel::LogLevel::warning, "net{}: {} has the address {} too: {}", interface,
                to_text(c.by, std::span<char, sizeof(mac)>(mac)),
                to_text(IpAddr(c.address), std::span<char, kAddressText>(address)),
                stack.ipv4(interface).address == c.address ? "we keep it" : "we do not use it, and ask again");
}

}  // namespace

namespace detail {

void Core::notify(Watch& watch) {
    for (Waiter& w : watch.waiters) w.rouse();
    if (watch.observer != nullptr) watch.observer->stirred(*watch.observer);
    if (watch.selector == nullptr || watch.is_queued()) return;
    watch.selector->ready_.push_back(watch);
    watch.selector->waiter_.rouse();
}

inline void Core::tell(void* watch) {
    if (watch != nullptr)
        notify(*static_cast<Watch*>(watch));
    else
        rouse_agents();
}

inline void Core::wake_ready() {
    while (const auto watch = stack->tcp().next_ready_data()) tell(*watch);
    if (stack->udp().has_ready()) [[unlikely]]
        tell_datagrams();
    if (stack->take_change()) [[unlikely]]
        tell_change();
}

void Core::tell_datagrams() {
    while (const auto h = stack->udp().next_ready()) tell(stack->udp().user_data(*h));
}

void Core::tell_change() {
    for (u8 i = 0; i < stack->interface_count(); ++i)
        if (stack->take_conflict_news(i)) report_conflict(*stack, i);
    for (Waiter& w : stack_waiters) w.rouse();
    rouse_agents();
}

bool Core::pump(Instant now) {
    if (!stack) return false;
    const bool look = second_look.is_never() || now >= second_look;
    bool again = pump_links(*this, now, look ? Round::whole : Round::quick);
    if (look) plan_second_look(now);
    wake_ready();
    if (now >= agents_due) again |= run_agents(now);
    return again;
}

void Core::plan_second_look(Instant now) {
    const u64 frames = stack->frames();
    bool more = std::exchange(frames_seen, frames) != frames;
    for (u8 i = 0; i < stack->interface_count(); ++i) more |= watch_link(links[i], now);
    second_look = more ? now + kSecondLook : Instant::never();
}

bool Core::run_agents(Instant now) {
    bool sent = false;
    agents_due = Instant::never();
    for (Agent& a : agents) {
        const Agent::Did did = a.run(a, *stack, now);
        sent |= did == Agent::Did::sent || did == Agent::Did::both;
        agents_due = std::min(agents_due, a.deadline);
        if (did != Agent::Did::changed && did != Agent::Did::both) continue;
        for (Waiter& w : a.waiters) w.rouse();
    }
    return sent;
}

}  // namespace detail

Result<> Service::open(const Opened& links, PacketPool& pool, const StackConfig& config,
                       std::span<const InterfaceConfig> more) {
    auto held = lock();
    if (held->stack) return fail(Error::exists);
    held->links = links.links;
    held->pump_links = links.pump;
    held->watch_link = links.watch;
    held->controls = links.controls;
    held->stack.emplace(config, pool, more);
    held->stack->start(kernel::now());
    thread_event_.set();
    return {};
}

void Service::interrupt() {
    pending_.store(true);
    leader_.load()->set();
}

bool Service::try_lead() {
    kernel::Event* nobody = &thread_event_;
    return leader_.compare_exchange_strong(nobody, &leader_event_);
}

void Service::give_up_lead(Monitor::Access& held) {
    leader_.store(&thread_event_);
    // An interrupt that still saw us has set pending_ before it looked (both are sequentially consistent).
    if (pending_.load()) [[unlikely]]
        thread_event_.set();
    cover_deadline(held);
}

void Service::cover_deadline(Monitor::Access& held) {
    if (held->deadline() < held->thread_sleeps_until) thread_event_.set();
}

void Service::push_output(Monitor::Access& held) {
    if (!held->stack->has_output() && !held->stack->is_starved()) return;
    const bool again = pump(held, kernel::now());
    // Whoever leads has its own alarm; it was set before this output started its timers.
    kernel::Event* leader = leader_.load();
    if (again)
        leader->set();
    else if (leader == &thread_event_)
        cover_deadline(held);
    else if (held->deadline() < held->leader_sleeps_until)
        leader->set();
}

void Service::run() {
    while (!stopping_.load()) {
        Instant until;
        bool again;
        {
            auto held = lock();
            const Instant now = kernel::now();
            again = pump(held, now);
            // An alarm once set runs out instead of being moved: otherwise each request that starts a retransmission
            // timer would cost a switch to this thread.
            Instant& alarm = held->thread_sleeps_until;
            const Instant due = held->stack ? held->deadline() : Instant::never();
            if (alarm <= now || due < alarm) alarm = due;
            until = alarm;
        }
        if (again)
            kernel::yield();
        else
            (void)thread_event_.wait_until(until);
    }
}

void Service::stop() {
    stopping_.store(true);
    thread_event_.set();
}

Result<> Service::start() {
    auto thread = TRY(kernel::ThreadHandle::spawn(
        {.name = "net", .priority = 20, .stack_bytes = 16384}, [](void* self) { static_cast<Service*>(self)->run(); },
        this));
    thread.detach();
    return {};
}

InterfaceInfo Service::interface(u8 number) {
    auto held = lock();
    return held->has(number) ? held->stack->interface(number) : InterfaceInfo{};
}

u8 Service::interface_count() {
    auto held = lock();
    return held->stack ? held->stack->interface_count() : u8{0};
}

NetStatistics Service::statistics() {
    auto held = lock();
    if (!held->stack) return {};
    const PacketPool& pool = held->stack->pool();
    return {held->stack->statistics(), held->stack->tcp().stats(), pool.total(), pool.free(), pool.exhausted()};
}

Result<> Service::control(FunctionRef<Result<>(LinkControl&)> use, u8 interface) {
    auto held = lock();
    if (!held->has(interface)) return fail(Error::not_found);
    if (held->controls[interface] == nullptr) return fail(Error::unsupported);
    return use(*held->controls[interface]);
}

Result<> Service::configure(Addressing addressing, const Ipv4Config& fixed, u8 interface) {
    auto held = lock();
    if (!held->stack) return fail(Error::not_found);
    TRY(held->stack->configure(addressing, fixed, kernel::now(), interface));
    held->wake_ready();
    thread_event_.set();
    return {};
}

Result<> Service::release_address(Duration timeout, u8 interface) {
    auto held = lock();
    if (!held->has(interface)) return fail(Error::not_found);
    held->stack->release(kernel::now(), interface);
    detail::Waiter waiter;
    held->stack_waiters.push_back(waiter);
    const bool gone =
        wait(held, waiter, after(timeout), [&] { return held->stack->ipv4(interface).address.is_unspecified(); });
    held->stack_waiters.remove(waiter);
    if (!gone) return fail(Error::timed_out);
    return {};
}

void Service::renew_address(u8 interface) {
    auto held = lock();
    if (!held->has(interface)) return;
    held->stack->renew(kernel::now(), interface);
    push_output(held);
}

Result<Ipv4Config> Service::wait_for_address(Duration timeout) {
    auto held = lock();
    if (!held->stack) return fail(Error::not_found);
    detail::Waiter waiter;
    held->stack_waiters.push_back(waiter);
    const bool got = wait(held, waiter, after(timeout), [&] { return held->stack->any_ipv4() != nullptr; });
    held->stack_waiters.remove(waiter);
    if (!got) return fail(Error::timed_out);
    return *held->stack->any_ipv4();
}

Result<PingReply> Service::ping(IpAddr to, u16 bytes, Duration timeout, u16 scope) {
    auto held = lock();
    if (!held->stack) return fail(Error::not_found);
    const u32 id = TRY(held->stack->ping(to, bytes, kernel::now(), scope));
    detail::Waiter waiter;
    held->stack_waiters.push_back(waiter);
    Result<Stack::PingResult> result = fail(Error::would_block);
    auto answered = [&] {
        result = held->stack->ping_result(id);
        return result || result.error() != Error::would_block;
    };
    const bool in_time = wait(held, waiter, after(timeout), answered);
    held->stack_waiters.remove(waiter);
    held->stack->ping_cancel(id);
    if (!in_time) return fail(Error::timed_out);
    const Stack::PingResult r = TRY(result);
    return PingReply{r.round_trip, r.ttl, r.bytes};
}

namespace {

constexpr usize kMostNeighbours = 128;  // of an interface, both families

/// A growing list on the heap, for snapshots: counted first, filled second, both under the monitor.
template <class T> struct Snapshot {
    std::unique_ptr<T[]> items;
    usize size = 0, capacity = 0;
    bool reserve(usize n) {
        items.reset(new (std::nothrow) T[n == 0 ? 1 : n]);
        capacity = items == nullptr ? 0 : n;
        return items != nullptr;
    }
    void add(const T& v) {
        if (size < capacity) items[size++] = v;
    }
};

}  // namespace

Result<> Service::for_each_socket(FunctionRef<void(const SocketInfo&)> visit) {
    Snapshot<SocketInfo> all;
    {
        auto held = lock();
        if (!held->stack) return {};
        usize n = 0;
        held->stack->tcp().for_each([&](const tcp::Info&) { ++n; });
        held->stack->udp().for_each([&](const UdpSocketInfo&) { ++n; });
        if (!all.reserve(n)) return fail(Error::no_memory);
        held->stack->tcp().for_each([&](const tcp::Info& i) { all.add({SocketInfo::Kind::tcp, i, {}}); });
        held->stack->udp().for_each([&](const UdpSocketInfo& i) { all.add({SocketInfo::Kind::udp, {}, i}); });
    }
    for (usize i = 0; i < all.size; ++i) visit(all.items[i]);
    return {};
}

Result<> Service::for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit) {
    Snapshot<NeighbourInfo> all;
    {
        auto held = lock();
        if (!held->stack) return {};
        if (!all.reserve(kMostNeighbours * held->stack->interface_count())) return fail(Error::no_memory);
        held->stack->for_each_neighbour([&](const NeighbourInfo& i) { all.add(i); });
    }
    for (usize i = 0; i < all.size; ++i) visit(all.items[i]);
    return {};
}

Result<> Service::add_route(const RouteInfo& route) {
    auto held = lock();
    if (!held->stack) return fail(Error::not_found);
    return held->stack->add_route(route);
}

Result<> Service::remove_route(Ipv4Addr destination, u8 prefix) {
    auto held = lock();
    if (!held->stack) return fail(Error::not_found);
    return held->stack->remove_route(destination, prefix);
}

FixedVector<RouteInfo, Routes::kEntries> Service::routes() {
    auto held = lock();
    FixedVector<RouteInfo, Routes::kEntries> all;
    if (held->stack)
        for (const RouteInfo& r : held->stack->routes()) all.try_push_back(r);
    return all;
}

void Service::flush() {
    auto held = lock();
    if (held->stack) push_output(held);
}

}  // namespace ringlet::net
