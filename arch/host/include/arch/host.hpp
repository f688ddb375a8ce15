// What a test may do to the fake machine. Only tests and arch/host include this.
//
// Which rooms a test links (ringlet_test(... ROOMS ...)):
//   lib arch host_kernel    drivers, net, net/api, fs: real std::threads; Event, Mutex, WaitQueue, DmaRegion,
//   irq_request,
//                           now(), log, random, ThreadHandle come from arch/host/seams
//   lib arch kernel         the kernel's own tests: the real scheduler and allocators on this fake machine.
//   Never both.
// A faked interrupt runs in the thread that raises it (so it may run beside the driver, as on a second CPU).
#pragma once

#include <span>
#include <vector>

#include "arch/code_owner.hpp"
#include "arch/irq_types.hpp"
#include "lib/bytes.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"
#include "lib/time.hpp"

namespace ringlet::arch::host {

/// A device's registers. `offset` counts from the registered base, `width` is 1, 2, 4 or 8, and offset +
/// width lies inside the registered size. Called by whichever thread accesses the device.
class MmioHandler {
public:
    virtual ~MmioHandler() = default;
    virtual u64 read(u64 offset, unsigned width) = 0;
    virtual void write(u64 offset, unsigned width, u64 value) = 0;
};

/// The handler must outlive its registration. Overlaps abort. Accesses that straddle the end abort.
void register_mmio(u64 base, u64 bytes, MmioHandler& handler);
void unregister_mmio(u64 base);
/// Ports; the same interface. Handler offsets count from `base`.
void register_ports(u16 base, u16 count, MmioHandler& handler);
void unregister_ports(u16 base);

/// Interrupt `id` fires: hooks::interrupt() then hooks::interrupt_exit(), and hooks::diverted() if that says so, in
/// this thread; later if this thread has interrupts disabled or the interrupt is masked.
void raise(IrqId id);
/// What a device's MSI write does. False (and nothing happens) when the message is not one that
/// allocate_msi() gave out and is still allocated.
bool deliver(MsiMessage message);
bool is_masked(IrqId id);
/// Forgets all lines, messages and pending interrupts.
void reset_irqs();

/// From now on the clock stands at `start` until advance_to() or an idle wait_for_interrupt() moves it.
void use_virtual_clock(Instant start = {});
void use_real_clock();
bool clock_is_virtual();
/// Each look at the virtual clock moves it by `step`, until use_virtual_clock(): loops that wait for a time end.
void step_virtual_clock(Duration step);
/// Called, with no lock held, by a thread of host_kernel that would sleep; it has to move the virtual clock, or to wake
/// what sleeps: one thread can be a whole test. nullptr: threads sleep.
using SleepHook = void (*)(Instant until);
void set_sleep_hook(SleepHook hook);
SleepHook sleep_hook();
/// Moves the virtual clock; fires hooks::timer() (and hooks::interrupt_exit()) each time it comes due on the
/// way.
void advance_to(Instant when);
Instant timer_deadline();  ///< never() when none is set
void set_wall_clock(u64 unix_seconds);
/// Called by wait_for_interrupt() when nothing could ever wake this CPU. nullptr: abort.
void set_idle_hook(void (*hook)());

enum class PowerEvent : u8 { poweroff, reboot, halt, end_vm };
/// Called first by each function of arch/power.hpp; it may throw to get back to the test.
void set_power_hook(void (*hook)(PowerEvent event, u8 status));
/// Answers for arch::code_owner(). nullptr: all is the application's.
void set_code_owner(CodeOwner (*hook)(std::uintptr_t address));
/// Receives early_put() instead of stderr. nullptr: stderr again.
void set_early_sink(void (*put)(char));

/// The bytes a device may touch at `addr`: nullptr unless all of `bytes` lies in one live DmaRegion
/// (host_kernel only).
std::byte* dma_to_pointer(DmaAddr addr, usize bytes);
usize live_dma_regions();
/// How much DMA memory there is: at the limit those who can give some back are asked, as in the kernel.
void limit_dma(usize bytes);
usize live_dma_bytes();
/// From now on these addresses are DMA memory too, at themselves. Without bytes: no longer.
void map_dma_identity(u64 base, usize bytes);
/// What kernel::random_add_entropy() was given, then forgotten (host_kernel only).
std::vector<std::byte> take_added_entropy();
/// From now on arch::hardware_random() has nothing, or what it had.
void set_hardware_random(bool present);

}  // namespace ringlet::arch::host
