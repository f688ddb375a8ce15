// The host's "CPU": the calling OS thread. The interrupt flag is a thread_local; an interrupt raised while it
// is off stays pending on that thread and is delivered when it goes on again, as on hardware. Context: any.
#pragma once

#include <optional>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr std::string_view kName = "host";

bool interrupts_enabled();
/// Delivers what became pending meanwhile before it returns.
void enable_interrupts();
void disable_interrupts();

class IrqGuard {
public:
    IrqGuard() : were_enabled_(interrupts_enabled()) { disable_interrupts(); }
    ~IrqGuard() {
        if (were_enabled_) enable_interrupts();
    }
    IrqGuard(const IrqGuard&) = delete;
    IrqGuard& operator=(const IrqGuard&) = delete;

private:
    bool were_enabled_;
};

/// Delivers a pending interrupt; with none and a virtual clock, advances it to the timer and fires that; with
/// neither, calls the idle hook (arch/host.hpp) or aborts, because the real machine would sleep for ever.
void wait_for_interrupt();
void relax();
std::optional<u64> hardware_random();
u64 cycle_counter();
u32 cpu_index();
void* cpu_local();
void set_cpu_local(void* p);
std::string_view cpu_model();

}  // namespace ringlet::arch
