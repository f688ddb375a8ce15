// Vector numbers, and what traps.S and the C++ side call each other by. Internal to arch/x86_64.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

struct Registers;

namespace x86 {

inline constexpr u8 kTimerVector = 0x20;
inline constexpr u8 kFirstDeviceVector = 0x30;
inline constexpr u8 kLastDeviceVector = 0xef;
inline constexpr u8 kSpuriousVector = 0xff;  // the low four bits must be ones on old CPUs (SDM vol. 3 §11.9)

/// clock.cpp: the timer went off. Before end-of-interrupt. Context: interrupt.
void timer_interrupt();
/// local_apic.cpp. Context: interrupt.
void end_of_interrupt();

}  // namespace x86
}  // namespace ringlet::arch

extern "C" {
extern const char ringlet_vectors[];
void ringlet_spurious();
void ringlet_divert();
/// What an interrupt leaves on the stack: a frame, for backtraces, and what interrupt_entry has saved.
struct InterruptedFrame {
    ringlet::u64 rbp, return_address;
    ringlet::u8 floating_point[512];
    ringlet::u64 registers[9], vector, error_code;
    ringlet::u64 rip, cs, rflags, rsp, ss;  // pushed by the CPU
};
/// 1: the thread is diverted.
ringlet::u32 ringlet_interrupt(ringlet::u32 vector, const InterruptedFrame& at);
/// Returns when `at` is where the thread is diverted.
void ringlet_fault(ringlet::arch::Registers& at);
void ringlet_diverted(ringlet::arch::Registers& at);
}
