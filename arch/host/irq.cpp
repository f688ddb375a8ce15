// The fake interrupt controller. Context: any thread; hooks are called without a lock held.
#include "arch/irq.hpp"

#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/host.hpp"
#include "arch/host/internal.hpp"
#include "arch/registers.hpp"

namespace ringlet::arch {

namespace {

constexpr u32 kFirstMsi = 0x1000;
constexpr u32 kMsiCount = 256;
constexpr u64 kMsiAddress = 0x4d53'4900'0000;  // "MSI" and six zero digits
constexpr u32 kMsiData = 0xabc0'0000;

struct Source {
    bool masked = false, pending = false;
};

struct Controller {
    std::mutex mutex;
    std::map<u32, Source> sources;
};
Controller& controller() {
    static Controller c;
    return c;
}
std::deque<u32>& pending_here() {
    thread_local std::deque<u32> pending;
    return pending;
}

u32 number(IrqId id) {
    return static_cast<u32>(id);
}

}  // namespace

Result<> irq_init(const Platform&) {
    return {};
}

Result<IrqId> attach_line(IrqLine line) {
    if (line.number >= kFirstMsi) return fail(Error::invalid);
    std::lock_guard lock(controller().mutex);
    controller().sources[line.number].masked = true;
    return IrqId{line.number};
}

Result<IrqId> allocate_msi(u32, MsiMessage& out) {
    std::lock_guard lock(controller().mutex);
    for (u32 n = kFirstMsi; n < kFirstMsi + kMsiCount; ++n) {
        if (!controller().sources.try_emplace(n).second) continue;
        out = {kMsiAddress + 16 * (n - kFirstMsi), kMsiData | n};
        return IrqId{n};
    }
    return fail(Error::no_space);
}

void free_msi(IrqId id) {
    std::lock_guard lock(controller().mutex);
    if (number(id) < kFirstMsi || controller().sources.erase(number(id)) == 0)
        host::test_error("free_msi() of an interrupt that is not allocated:", number(id));
}

void mask(IrqId id) {
    std::lock_guard lock(controller().mutex);
    controller().sources[number(id)].masked = true;
}

void unmask(IrqId id) {
    bool fire;
    {
        std::lock_guard lock(controller().mutex);
        Source& source = controller().sources[number(id)];
        source.masked = false;
        fire = std::exchange(source.pending, false);
    }
    if (fire) host::raise(id);
}

namespace host {

void finish_interrupt() {
    if (!hooks::interrupt_exit({})) return;
    Registers at;
    enable_interrupts();
    hooks::diverted(at);
    disable_interrupts();
}

void raise(IrqId id) {
    {
        std::lock_guard lock(controller().mutex);
        auto found = controller().sources.find(number(id));
        if (found != controller().sources.end() && found->second.masked) {
            found->second.pending = true;
            return;
        }
    }
    pending_here().push_back(number(id));
    if (!interrupts_enabled()) return;
    disable_interrupts();
    enable_interrupts();  // delivers
}

bool deliver_one_pending_irq() {
    auto& pending = pending_here();
    if (pending.empty()) return false;
    const IrqId id{pending.front()};
    pending.pop_front();
    hooks::interrupt(id);
    finish_interrupt();
    return true;
}

bool deliver(MsiMessage message) {
    const u32 n = message.data & ~kMsiData;
    {
        std::lock_guard lock(controller().mutex);
        if (n < kFirstMsi || n >= kFirstMsi + kMsiCount || message.data != (kMsiData | n) ||
            message.address != kMsiAddress + 16 * (n - kFirstMsi) || !controller().sources.contains(n))
            return false;
    }
    raise(IrqId{n});
    return true;
}

bool is_masked(IrqId id) {
    std::lock_guard lock(controller().mutex);
    auto found = controller().sources.find(number(id));
    return found != controller().sources.end() && found->second.masked;
}

void reset_irqs() {
    std::lock_guard lock(controller().mutex);
    controller().sources.clear();
    pending_here().clear();
}

}  // namespace host

}  // namespace ringlet::arch
