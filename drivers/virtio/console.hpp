// Console driver, virtio 1.2 §5.3: port 0, which may become the system console (hvc0), and with MULTIPORT named ports
// for data (kernel/port.hpp). The device announces ports, names them and takes them away by control messages; a thread
// reads those, and answers with what each port owes, so that no flood of messages needs memory. Nothing in a message is
// trusted: ids, lengths and names are checked and counted. A port keeps its buffers when it goes, because the device
// does; after a reset the device announces its ports again, and what was received before is still there to read.
// Context: service() its thread; ports as console_port.hpp.
#pragma once

#include <atomic>
#include <bit>
#include <memory>
#include <new>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/console_control.hpp"
#include "drivers/virtio/console_port.hpp"
#include "drivers/virtio/serviced.hpp"
#include "drivers/virtio/session.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "kernel/console.hpp"

namespace ringlet::virtio {

/// How a console driver is built: a template argument.
struct ConsoleConfig {
    using Feature = ConsoleSpec::Feature;
    Features<ConsoleSpec> features{.required = {},
                                   .optional = {Common::version_1, Common::access_platform, Common::order_platform,
                                                Common::notification_data, Common::notif_config_data, Common::event_idx,
                                                Feature::size, Feature::multiport, Feature::emerg_write}};
    u8 ports = 4;              ///< with numbers below this one; the others are refused
    u16 buffers = 8;           ///< for each port and direction
    u16 buffer_bytes = 512;    ///< of each
    u16 write_wait_ms = 500;   ///< how long console output waits for a host that is busy or does not read
    u8 announce_wait_ms = 20;  ///< how long probe() waits for the ports
};

template <ConsoleConfig kC> struct ConsoleConfigChecked {
    static_assert(FeaturesChecked<ConsoleSpec, kC.features>::value);
    static_assert(RingSizeChecked<ConsoleSpec, kC.features, kC.buffers>::value);
    static_assert(kC.buffers <= 32, "a console port has at most 32 buffers in each direction");
    static_assert(kC.buffer_bytes >= 64 && kC.buffer_bytes <= kPageSize,
                  "a console buffer holds at least 64 bytes and at most a page");
    static_assert(kC.ports >= 1 && kC.ports <= 7, "a console has 1 to 7 ports: their queues must have interrupts");
    static_assert(kC.ports == 1 || kC.features.lists(ConsoleSpec::Feature::multiport),
                  "more than one console port needs MULTIPORT");
    static_assert(kC.write_wait_ms <= 1000, "console output must not wait longer than a second");
    static_assert(kC.announce_wait_ms <= 100, "booting must not wait longer than 100 ms for console ports");
    static constexpr bool value = true;
};

template <ConsoleConfig kC = ConsoleConfig{}, Transport T = AnyTransport>
class Console final : public DeviceRecord, public Serviced, public SystemConsole, private ConsoleDevice {
    static_assert(ConsoleConfigChecked<kC>::value);
    using Spec = ConsoleSpec;
    using Feature = Spec::Feature;
    using DeviceSession = Session<Spec, kC.features, T>;
    using Ring = RingOf<Spec, kC.features>;
    using Queue = Virtqueue<Ring, ConsoleSlot, kC.buffers>;
    using Port = ConsolePort<Queue, kC.buffers, kC.buffer_bytes>;
    // The control queues share a page: messages from the device first.
    static constexpr u16 kMessages = 32, kAnswers = 16;
    static constexpr u32 kMessageBytes = 120;
    static_assert(kMessages * kMessageBytes + kAnswers * sizeof(Spec::Control) <= kPageSize);
    using MessageQueue = Virtqueue<Ring, ConsoleSlot, kMessages>;
    using AnswerQueue = Virtqueue<Ring, ConsoleSlot, kAnswers>;
    static constexpr unsigned kMessagesPerTurn = 64, kKeysPerTurn = 512;
    static constexpr Duration kPollEvery = Duration::from_ms(10), kLookAfter = Duration::from_s(1);

public:
    /// Brings the device up and waits at most announce_wait_ms for its ports; on success it runs. `name` outlives the
    /// driver. Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    [[gnu::cold]] static Result<std::unique_ptr<Console>> probe(BasicDevice<T> device, std::string_view name) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Console> driver(new (std::nothrow) Console(std::move(device), name));
        if (!driver) return fail(Error::no_memory);
        TRY(driver->start());
        driver->list();
        driver->wait_for_ports();
        return driver;
    }
    ~Console() {
        unlist();
        end_system_console(*this);
        for (Port& p : ports_) kernel::port_forget(p);
        session_.close(messages_, answers_);
        // One that never confirmed its reset may write into the buffers for ever: nobody else gets them.
        if (session_.quiet()) return;
        memory_.abandon();
        for (Port& p : ports_) {
            auto s = p.lock();
            DeviceSession::abandon(s->receive);
            DeviceSession::abandon(s->transmit);
            s->memory.abandon();
        }
    }

    /// Port 0 is the system console from now on. False: an application has it. Context: thread.
    [[gnu::cold]] bool attach() {
        if (!kernel::port_reserve(ports_[0])) return false;
        attached_ = true;
        ports_[0].set_guest_open(true);
        become_system_console(*this);
        return true;
    }
    void put(std::string_view text) override { ports_[0].put(text, Duration::from_ms(kC.write_wait_ms)); }
    void emergency(std::string_view text) override {
        if (!session_.template has<Feature::emerg_write>()) return;
        for (const char c : text) session_.transport().set_config_u32(Spec::kEmergencyWrite, u8(c));
    }
    void on_room() override { wake(); }

    [[gnu::cold]] Instant service(Instant now) override {
        if (dead_) return Instant::never();
        if ((session_.wants_reset() || broken()) && !recover()) return Instant::never();
        if (session_.template has<Feature::multiport>()) {
            hear();
            answer();
        }
        if (config_changed_.exchange(false)) read_size();
        feed_console();
        if (broken()) wake();
        // put() must not wake anybody, not even when it finds its queue broken; a device that is gone wakes nobody.
        return now + (session_.polled() ? kPollEvery : kLookAfter);
    }

    bool polled() const { return session_.polled(); }
    [[gnu::cold]] DeviceInfo info() const override {
        static constexpr std::string_view kNames[][2] = {{"rx0", "tx0"}, {"rx1", "tx1"}, {"rx2", "tx2"}};
        DeviceInfo d = session_.describe();
        d.broken = dead_;
        const auto add = [&d](std::string_view name, u16 index, const auto& q) {
            if (q) d.queues.try_push_back({name, index, q->size(), q->in_flight(), q->counters()});
        };
        for (u32 i = 0; i < count_ && i < std::size(kNames); ++i) {
            auto s = ports_[i].lock();
            add(kNames[i][0], Spec::receive_queue(i), s->receive);
            add(kNames[i][1], Spec::transmit_queue(i), s->transmit);
        }
        add("control_rx", Spec::kControlReceive, messages_);
        add("control_tx", Spec::kControlTransmit, answers_);
        return d;
    }
    [[gnu::cold]] void for_each_value(FunctionRef<void(std::string_view, u64)> visit) const override {
        u64 present = 0, in = 0, out = 0, dropped = 0, stalls = 0;
        for (u32 i = 0; i < count_; ++i) {
            auto s = ports_[i].lock();
            present += s->present;
            in += s->in.value(), out += s->out.value();
            dropped += s->dropped.value(), stalls += s->stalls.value();
        }
        visit("ports", present);
        visit("bytes_in", in);
        visit("bytes_out", out);
        visit("dropped", dropped);
        visit("stalls", stalls);
        visit("bad_messages", bad_messages_.value());
        visit("refused_ports", refused_.value());
        visit("columns", columns_);
        visit("rows", rows_);
    }

private:
    Console(BasicDevice<T> d, std::string_view name) : session_(std::move(d), name) {
        for (Port& p : ports_) p.start(*this);
    }

    // --- start, trouble

    [[gnu::cold]] Result<> start() {
        auto h = TRY(session_.begin());
        const bool many = session_.template has<Feature::multiport>();
        if (count_ == 0) {
            count_ = many ? u8(std::min<u32>(kC.ports, TRY(max_ports()))) : u8(1);
            if (count_ == 0) return fail(Error::device_broken);
        }
        const u32 control = 1u << Spec::kControlReceive | 1u << Spec::kControlTransmit;
        const u8 queues = many ? u8(2 * count_ + 2) : u8(2);
        TRY(session_.bind({.queues = queues, .slow = many ? control : 0}, on_interrupt, this));
        for (u32 i = 0; i < count_; ++i) TRY(connect(h, i));
        if (many) {
            if (memory_.bytes().empty()) memory_ = TRY(kernel::DmaRegion::allocate(kPageSize));
            TRY(session_.connect(h, Spec::kControlReceive, messages_, {.size = kMessages}));
            TRY(session_.connect(h, Spec::kControlTransmit, answers_, {.size = kAnswers}));
            for (u16 i = 0; i < kMessages; ++i) expect_message({i});
        }
        dead_ = false;
        TRY(session_.run(std::move(h)));
        if (many) {
            messages_->kick();
            (void)say(0, Spec::device_ready, 1);
            answers_->kick();
        } else {
            appear(0);
            ports_[0].lock()->host_open = true;
        }
        return {};
    }
    Result<u32> max_ports() {
        const auto n = session_.config().read(Spec::kMaxPorts);
        if (!n) return fail(n.error());
        return std::optional<u32>(*n).value_or(1);
    }
    /// Without the lock, because memory is allocated: the port is not present, so nobody else touches its queues.
    [[gnu::cold]] Result<> connect(typename DeviceSession::Hs& h, u32 i) {
        auto s = ports_[i].lock();
        s.release();
        const auto done = [&]() -> Result<> {
            if (s->memory.bytes().empty())
                s->memory = TRY(kernel::DmaRegion::allocate(2 * usize{kC.buffers} * kC.buffer_bytes));
            TRY(session_.connect(h, Spec::receive_queue(i), s->receive, {.size = kC.buffers}));
            return session_.connect(h, Spec::transmit_queue(i), s->transmit, {.size = kC.buffers});
        }();
        s.acquire();
        return done;
    }
    [[gnu::cold]] void wait_for_ports() {
        const Instant deadline = kernel::now() + Duration::from_ms(kC.announce_wait_ms);
        for (Instant now = kernel::now(); now < deadline && !dead_; now = kernel::now()) {
            const Instant again = service(now);
            for (Port& p : ports_)
                if (p.lock()->present) return (void)service(now);  // with its name, if that has come
            event_.wait_until(std::min(again, deadline));
        }
    }
    bool broken() {
        if (messages_ && (messages_->broken() || answers_->broken())) return true;
        for (Port& p : ports_)
            if (p.lock()->broken()) return true;
        return false;
    }
    /// Ports vanish until they are announced again. What they had received stays.
    [[gnu::cold]] bool recover() {
        for (u32 i = 0; i < count_; ++i) {
            auto s = ports_[i].lock();
            if (s->present && !s->receive->broken()) s->collect(true);
            s->present = s->host_open = s->owes_ready = false;
        }
        const bool again = session_.may_recover() && session_.halt() && restart();
        if (!again) {
            session_.give_up();
            dead_ = true;
            for (Port& p : ports_) p.lock()->dead = true;
        }
        for (Port& p : ports_) p.wake_all();
        return again;
    }
    [[gnu::cold]] bool restart() {
        const auto forget = [](ConsoleSlot&&) {};
        for (u32 i = 0; i < count_; ++i) {
            auto s = ports_[i].lock();
            s->receive->drain([&](ConsoleSlot&& slot) { s->empty |= 1u << slot.index; });
            s->transmit->drain([&](ConsoleSlot&& slot) { s->idle |= 1u << slot.index; });
        }
        if (messages_) messages_->drain(forget);
        if (answers_) answers_->drain(forget);
        idle_answers_ = kAllAnswers;
        return start().has_value();
    }
    static void on_interrupt(void* self, u32 queues, bool config) {
        Console& c = *static_cast<Console*>(self);
        for (u32 i = 0; i < c.count_; ++i) {
            const bool in = queues >> Spec::receive_queue(i) & 1, out = queues >> Spec::transmit_queue(i) & 1;
            if (in || out) c.ports_[i].on_interrupt(in, out);
        }
        if (config) c.config_changed_.store(true);
        const u32 slow = 1u << Spec::kControlReceive | 1u << Spec::kControlTransmit;
        if (config || (queues & slow) != 0 || (c.attached_ && (queues & 1) != 0)) c.wake();
    }
    void attend() override { wake(); }
    bool is_polled() const override { return session_.polled(); }

    // --- control messages

    [[gnu::cold]] void hear() {
        unsigned heard = 0;
        while (heard < kMessagesPerTurn) {
            auto used = messages_->pop();
            if (!used) break;
            const usize at = usize{used->token.index} * kMessageBytes;
            handle(memory_.bytes().subspan(at, used->written));
            expect_message(used->token);
            ++heard;
        }
        messages_->kick();
        if (heard == kMessagesPerTurn || (!messages_->broken() && messages_->rearm())) wake();
    }
    void expect_message(ConsoleSlot slot) {
        const Segment s{memory_.addr(usize{slot.index} * kMessageBytes), kMessageBytes};
        (void)messages_->add({}, {&s, 1}, slot);  // a shorter ring takes fewer
    }
    [[gnu::cold]] void handle(Bytes written) {
        const auto m = read_console_message(written);
        if (!m) return bad_messages_.add();
        if (m->id >= count_) {
            if (m->event != Spec::device_add) return bad_messages_.add();
            refused_.add();
            (void)say(m->id, Spec::port_ready, 0);
            return;
        }
        Port& p = ports_[m->id];
        const bool present = p.lock()->present;
        if (present == (m->event == Spec::device_add)) return bad_messages_.add();
        switch (m->event) {
        case Spec::device_add:
            return appear(m->id);
        case Spec::device_remove:
            return vanish(p);
        case Spec::console_port:
            return;  // the command line says which is the console
        case Spec::port_open:
            p.lock()->host_open = m->value != 0;
            return p.wake_all();
        case Spec::port_name: {
            const std::string_view name = read_port_name(m->rest);
            if (name.empty()) return bad_messages_.add();
            return kernel::port_name(p, name);
        }
        case Spec::resize:
            if (m->rest.size() < sizeof(Spec::Size)) return bad_messages_.add();
            if (m->id != 0) return;
            columns_ = reinterpret_cast<const Spec::Size*>(m->rest.data())->cols;
            rows_ = reinterpret_cast<const Spec::Size*>(m->rest.data())->rows;
            return;
        default:
            return bad_messages_.add();
        }
    }
    /// A name that nobody gave: only port 0 has one.
    [[gnu::cold]] void appear(u32 id) {
        Port& p = ports_[id];
        kernel::port_name(p, id == 0 ? "hvc0" : "");
        auto s = p.lock();
        s->collect(false);  // what was sent to a port that had gone
        s->post();
        s->present = true;
        s->owes_ready = true;
        s->owes_open = s->guest_open;
        s->stalled = false;
    }
    [[gnu::cold]] void vanish(Port& p) {
        kernel::port_name(p, "");
        {
            auto s = p.lock();
            s->present = s->host_open = false;
            s->forget_chunks();
        }
        p.wake_all();
    }

    /// What ports owe, as far as there is room; the rest when the device has made some.
    [[gnu::cold]] void answer() {
        for (u32 id = 0; id < count_; ++id) {
            bool ready, open, value;
            {
                auto s = ports_[id].lock();
                ready = s->owes_ready && s->present;
                open = s->owes_open && s->present;
                value = s->guest_open;
                s->owes_ready = s->owes_open = false;
            }
            if (ready && !say(id, Spec::port_ready, 1)) return owe(id, true, open);
            if (open && !say(id, Spec::port_open, value)) return owe(id, false, true);
        }
        answers_->kick();
    }
    [[gnu::cold]] void owe(u32 id, bool ready, bool open) {
        {
            auto s = ports_[id].lock();
            s->owes_ready |= ready;
            s->owes_open |= open;
        }
        answers_->kick();
        if (!answers_->broken() && answers_->rearm()) wake();
    }
    [[gnu::cold]] bool say(u32 id, Spec::Event event, u16 value) {
        while (auto used = answers_->pop()) idle_answers_ |= 1u << used->token.index;
        if (idle_answers_ == 0) return false;
        ConsoleSlot slot{u16(std::countr_zero(idle_answers_))};
        const u32 bit = 1u << slot.index;
        const usize at = kMessages * kMessageBytes + slot.index * sizeof(Spec::Control);
        *memory_.template at<Spec::Control>(at) = {.id = id, .event = event, .value = value};
        const Segment s{memory_.addr(at), sizeof(Spec::Control)};
        if (!answers_->add({&s, 1}, {}, slot)) return false;
        idle_answers_ &= ~bit;
        return true;
    }

    // --- the system console

    void feed_console() {
        if (!attached_) return;
        for (unsigned keys = 0; !kernel::console_input_full(); ++keys) {
            if (keys == kKeysPerTurn) return wake();
            const auto c = ports_[0].get();
            if (!c) return;
            kernel::console_input(*c);
        }
    }
    [[gnu::cold]] void read_size() {
        const auto cols = session_.config().read(Spec::kCols), rows = session_.config().read(Spec::kRows);
        if (!cols || !rows || !session_.template has<Feature::size>()) return;
        const std::optional<u16> c = *cols, r = *rows;
        const u32 told = u32{c.value_or(0)} << 16 | r.value_or(0);
        if (told == 0 || std::exchange(size_told_, told) == told) return;  // RESIZE may have said something newer
        columns_ = *c, rows_ = *r;
    }

    static constexpr u32 kAllAnswers = (1u << kAnswers) - 1;
    DeviceSession session_;
    kernel::DmaRegion memory_;
    std::optional<MessageQueue> messages_;
    std::optional<AnswerQueue> answers_;
    u32 idle_answers_ = kAllAnswers;
    mutable std::array<Port, kC.ports> ports_;
    u8 count_ = 0;  ///< of ports_ in use
    bool dead_ = true, attached_ = false;
    std::atomic<bool> config_changed_{true};
    u32 size_told_ = 0;
    u16 columns_ = 0, rows_ = 0;
    Counter bad_messages_, refused_;
};

}  // namespace ringlet::virtio
