// Which interrupt serves which queue (virtio 1.2 §4.1.5.1.2, §4.1.5.3, §4.2.3.3). In order of preference: a vector per
// queue, data queues apart from the slow ones, one shared vector, the wired line, polling. No device is unusable.
// Vectors stay masked until unmask(), which follows DRIVER_OK, and are masked again before a reset.
// Context: thread; the handler is called from interrupts (and from poll()).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "arch/irq.hpp"
#include "drivers/virtio/transport.hpp"
#include "kernel/irq/irq.hpp"

namespace ringlet::virtio {

enum class InterruptMode : u8 { per_queue, split, shared, line, polling };
std::string_view to_string(InterruptMode mode);

/// The message-signalled vectors of one device; discover.cpp makes one out of a PCI function's MSI-X.
/// Virtual because the choice is made at run time and every call costs a device access anyway.
class VectorTable {
public:
    virtual ~VectorTable() = default;
    virtual u16 size() const = 0;
    /// Gives vector `index` a message of its own, masked. Errors: no_space, unsupported.
    virtual Result<arch::IrqId> open(u16 index) = 0;
    virtual void close(u16 index) = 0;
    virtual void mask(u16 index) = 0;
    virtual void unmask(u16 index) = 0;
    /// Messages instead of the wired line. False: the device does not switch.
    virtual bool enable() = 0;
    virtual void disable() = 0;
};

/// What a device can be heard by. Moves into the driver.
struct Wiring {
    std::unique_ptr<VectorTable> vectors;
    std::optional<arch::IrqLine> line;
};

/// Which queues a driver has. Slow ones (control, events) may share the configuration vector.
struct QueuePlan {
    u8 queues = 0;
    u32 slow = 0;
    constexpr u32 all() const { return (u32{1} << queues) - 1; }
};

/// The bookkeeping that does not depend on the transport.
class InterruptSlots {
public:
    /// `queues`: a bit for each queue that may have work. Context: interrupt, or the thread that polls.
    using Handler = void (*)(void* context, u32 queues, bool config);

    InterruptSlots() = default;
    InterruptSlots(const InterruptSlots&) = delete;
    InterruptSlots& operator=(const InterruptSlots&) = delete;
    ~InterruptSlots() { release(); }

    InterruptMode mode() const { return mode_; }
    /// Hands the masked interrupts to the handler. After DRIVER_OK.
    Result<> unmask();
    /// Before a reset: nothing reaches the handler any more.
    void mask();
    /// Gives everything back. The device must have been reset.
    void release();

protected:
    static constexpr u16 kMaxVectors = 17;
    struct Slot {
        InterruptSlots* owner = nullptr;
        u32 queues = 0;
        bool config = false, open = false, requested = false;
        arch::IrqId id{};
    };
    static kernel::IrqResult on_vector(void* slot);
    static kernel::IrqResult on_line(void* slot);
    bool open_vectors(u16 count);
    void close_vectors();

    Wiring wiring_;
    QueuePlan plan_;
    Handler handler_ = nullptr;
    void* context_ = nullptr;
    std::string_view name_;
    InterruptStatus (*read_status_)(void* transport) = nullptr;
    void* transport_ = nullptr;
    InterruptMode mode_ = InterruptMode::polling;
    bool live_ = false;
    std::array<Slot, kMaxVectors> slots_;
};

template <Transport T> class Interrupts : public InterruptSlots {
public:
    /// Chooses a mode and tells the device, between FEATURES_OK and enabling queues. Cannot fail: polling remains.
    /// `t` and `name` must outlive this object.
    [[gnu::cold]] void bind(T& t, Wiring wiring, QueuePlan plan, Handler handler, void* context,
                            std::string_view name) {
        ASSERT(plan.queues > 0 && plan.queues < kMaxVectors);
        release();
        wiring_ = std::move(wiring);
        plan_ = plan;
        handler_ = handler;
        context_ = context;
        name_ = name;
        transport_ = &t;
        read_status_ = [](void* p) { return static_cast<T*>(p)->interrupt_status(); };
        for (const InterruptMode mode : {InterruptMode::per_queue, InterruptMode::split, InterruptMode::shared}) {
            if (mode == InterruptMode::split && plan.slow == 0) continue;
            if (use_vectors(t, mode)) return;
        }
        (void)write_vectors(t, false);
        mode_ = InterruptMode::polling;
        if (!wiring_.line) return;
        const auto id = arch::attach_line(*wiring_.line);
        if (!id) return;
        mode_ = InterruptMode::line;
        slots_[0] = {.owner = this, .queues = plan.all(), .config = true, .open = true, .requested = false, .id = *id};
    }

    /// After a reset: tells the device the same again. False: it does not take its vectors any more.
    bool bind_again(T& t) { return write_vectors(t, mode_ < InterruptMode::line); }

    /// The same for one queue that was reset.
    [[gnu::cold]] bool bind_queue_again(T& t, u8 queue) {
        return t.set_queue_vector(queue, mode_ < InterruptMode::line ? vector_of_queue(queue) : kNoVector);
    }

    /// Polling mode: what an interrupt would have done. Harmless in every mode. Context: thread.
    void poll() {
        if (live_) handler_(context_, plan_.all(), true);
    }

private:
    u16 vector_of_queue(u8 queue) const {
        if (mode_ == InterruptMode::per_queue) return u16(queue + 1);
        return mode_ == InterruptMode::split && (plan_.slow >> queue & 1) == 0 ? 1 : 0;
    }

    [[gnu::cold]] bool use_vectors(T& t, InterruptMode mode) {
        mode_ = mode;
        u16 count = 1;
        for (u8 q = 0; q < plan_.queues; ++q) count = std::max(count, u16(vector_of_queue(q) + 1));
        if (!open_vectors(count)) return false;
        t.use_messages(true);
        slots_[0].config = true;
        for (u8 q = 0; q < plan_.queues; ++q) slots_[vector_of_queue(q)].queues |= u32{1} << q;
        if (write_vectors(t, true)) return true;
        (void)write_vectors(t, false);
        close_vectors();
        t.use_messages(false);
        return false;
    }
    [[gnu::cold]] bool write_vectors(T& t, bool use) {
        bool taken = t.set_config_vector(use ? 0 : kNoVector);
        for (u8 q = 0; q < plan_.queues; ++q)
            taken = t.set_queue_vector(q, use ? vector_of_queue(q) : kNoVector) && taken;
        return taken;
    }
};

}  // namespace ringlet::virtio
