// CPU set-up, identification and random numbers. Arm ARM D13 (registers), FEAT_RNG. Context: see cpu.hpp.
#include "arch/cpu.hpp"

#include "arch/early.hpp"
#include "arch/hooks.hpp"
#include "arch/mmio.hpp"
#include "internal.hpp"
#include "sysreg.hpp"

extern "C" {
// Read by every function that GCC guards. Until ringlet_early_init has run, nothing that returns is guarded.
constinit std::uintptr_t __stack_chk_guard = 0x00'0a'ff'0d'5e'ed'ca'11;
[[gnu::no_stack_protector]] void ringlet_early_init(ringlet::u64 counter_at_entry);
}

namespace ringlet::arch {

namespace {

constexpr std::uintptr_t kVirtUart = 0x0900'0000;
constexpr std::uintptr_t kUartData = 0x00, kUartFlags = 0x18;
constexpr u32 kTransmitFull = 1u << 5;

constinit bool has_rndr = false;

constexpr u64 mix(u64 x) {  // the finaliser of splitmix64: every input bit reaches every output bit
    x ^= x >> 30;
    x *= 0xbf58'476d'1ce4'e5b9;
    x ^= x >> 27;
    x *= 0x94d0'49bb'1331'11eb;
    return x ^ (x >> 31);
}

struct Part {
    u16 implementer, part;
    std::string_view name;
};
constexpr Part kParts[] = {
    {0x41, 0xd03, "Cortex-A53"},    {0x41, 0xd04, "Cortex-A35"},  {0x41, 0xd05, "Cortex-A55"},
    {0x41, 0xd07, "Cortex-A57"},    {0x41, 0xd08, "Cortex-A72"},  {0x41, 0xd09, "Cortex-A73"},
    {0x41, 0xd0a, "Cortex-A75"},    {0x41, 0xd0b, "Cortex-A76"},  {0x41, 0xd0c, "Neoverse-N1"},
    {0x41, 0xd0d, "Cortex-A77"},    {0x41, 0xd40, "Neoverse-V1"}, {0x41, 0xd41, "Cortex-A78"},
    {0x41, 0xd47, "Cortex-A710"},   {0x41, 0xd49, "Neoverse-N2"}, {0x41, 0xd4f, "Neoverse-V2"},
    {0x46, 0x001, "Fujitsu A64FX"}, {0xc0, 0xac3, "Ampere-1"},    {0x00, 0x051, "QEMU max"},
    {0x61, 0x022, "Apple M1"},      {0x61, 0x023, "Apple M1"},
};

}  // namespace

constinit bool has_crc32 = false;

std::optional<u64> hardware_random() {
    if (!has_rndr) return std::nullopt;
    u64 value, ok;
    asm volatile("mrs %0, S3_3_C2_C4_0\n\tcset %1, ne" : "=r"(value), "=r"(ok)::"cc");  // Z is set on failure
    if (ok == 0) return std::nullopt;
    return value;
}

std::string_view cpu_model() {
    const u64 midr = RINGLET_READ_SYSREG("midr_el1");
    for (const Part& p : kParts)
        if (p.implementer == ((midr >> 24) & 0xff) && p.part == ((midr >> 4) & 0xfff)) return p.name;
    return "unknown aarch64";
}

void cpu_init() {
    RINGLET_WRITE_SYSREG("vbar_el1", address_of(ringlet_vectors));
    RINGLET_WRITE_SYSREG("cpacr_el1", 3u << 20);
    isb();
    set_cpu_local(hooks::boot_cpu_local);
    const u64 instructions = RINGLET_READ_SYSREG("id_aa64isar0_el1");
    has_rndr = ((instructions >> 60) & 0xf) != 0;
    has_crc32 = ((instructions >> 16) & 0xf) != 0;
    // SP_EL1 can be set only while it is in use. Nothing may touch the stack in between: one asm block.
    asm volatile("msr spsel, #1\n\tmov sp, %0\n\tmsr spsel, #0" ::"r"(address_of(ringlet_fault_stack_top)) : "memory");
}

void early_put(char c) {
    if (!is_mapped(kVirtUart)) return;
    for (int i = 0; i < 10'000 && (mmio_read<u32>(kVirtUart + kUartFlags) & kTransmitFull) != 0; ++i) relax();
    mmio_write<u32>(kVirtUart + kUartData, static_cast<u8>(c));
}

[[gnu::no_stack_protector]] void mix_stack_canary(u64 entropy) {
    // The lowest byte stays 0: a string that runs over ends before it can write the right value.
    __stack_chk_guard = mix(__stack_chk_guard ^ entropy) & ~u64{0xff};
}

}  // namespace ringlet::arch

void ringlet_early_init(ringlet::u64 counter_at_entry) {
    using namespace ringlet::arch;
    cpu_init();
    clock_early(counter_at_entry);
    mix_stack_canary(hardware_random().value_or(counter_at_entry * 0x9e37'79b9'7f4a'7c15 ^ cycle_counter()));
}
