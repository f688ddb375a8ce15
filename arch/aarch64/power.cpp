// Power: PSCI 1.0 (DEN 0022D §5) and the semihosting SYS_EXIT call. Context: any.
#include "arch/power.hpp"

#include "arch/cpu.hpp"
#include "internal.hpp"

namespace ringlet::arch {

namespace {

constexpr u64 kSystemOff = 0x8400'0008, kSystemReset = 0x8400'0009;
constexpr u64 kSysExit = 0x18, kApplicationExit = 0x20026;

constinit PsciConduit conduit = PsciConduit::none;

// The three instructions below may be undefined here (no EL2 or EL3, no semihosting): ringlet_fault knows
// their addresses, so that a lying devicetree ends in a halt and not in a panic. Each label exists once:
// noinline.
[[gnu::noinline, gnu::noclone]] void call_hvc(u64 function) {
    register u64 x0 asm("x0") = function;
    asm volatile(".global ringlet_psci_hvc\nringlet_psci_hvc: hvc #0" : "+r"(x0)::"x1", "x2", "x3", "memory");
}
[[gnu::noinline, gnu::noclone]] void call_smc(u64 function) {
    register u64 x0 asm("x0") = function;
    asm volatile(".global ringlet_psci_smc\nringlet_psci_smc: smc #0" : "+r"(x0)::"x1", "x2", "x3", "memory");
}
[[gnu::noinline, gnu::noclone]] void call_semihosting(u64 operation, const u64* parameters) {
    register u64 x0 asm("x0") = operation;
    register const u64* x1 asm("x1") = parameters;
    asm volatile(".global ringlet_semihosting_hlt\nringlet_semihosting_hlt: hlt #0xf000"
                 : "+r"(x0)
                 : "r"(x1)
                 : "x2", "x3", "memory");
}

void psci(u64 function) {
    disable_interrupts();
    if (conduit == PsciConduit::hvc) call_hvc(function);
    if (conduit == PsciConduit::smc) call_smc(function);
}

}  // namespace

void power_init(const Platform& platform) {
    conduit = platform.psci;
}

void poweroff() {
    psci(kSystemOff);
    halt();
}

void reboot() {
    psci(kSystemReset);
    halt();
}

void halt() {
    disable_interrupts();
    for (;;) asm volatile("dsb sy\n\twfi" ::: "memory");
}

void end_vm(u8 status) {
    disable_interrupts();
    const u64 parameters[2] = {kApplicationExit, status};
    call_semihosting(kSysExit, parameters);
    poweroff();
}

}  // namespace ringlet::arch
