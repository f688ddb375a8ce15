// Paging, registers, backtraces and power of the fake machine. Context: any.
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "arch/backtrace.hpp"
#include "arch/code_owner.hpp"
#include "arch/host.hpp"
#include "arch/paging.hpp"
#include "arch/power.hpp"
#include "arch/registers.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace ringlet::arch {

namespace {

constexpr usize kWindowBytes = 1_GiB;

bool in_stack_window(std::uintptr_t va, usize bytes) {
    return va >= kStackWindow && va - kStackWindow < kWindowBytes && bytes <= kWindowBytes - (va - kStackWindow);
}

std::atomic<void (*)(host::PowerEvent, u8)> power_hook{nullptr};
std::atomic<CodeOwner (*)(std::uintptr_t)> owner_hook{nullptr};

[[noreturn]] void end(host::PowerEvent event, u8 status, const char* name) {
    if (auto hook = power_hook.load()) hook(event, status);
    std::fprintf(stderr, "arch/host: the machine ended: %s, status %u\n", name, status);
    std::abort();
}

}  // namespace

Result<> paging_init(std::span<const MmioRange>) {
    return {};
}

Result<> map(std::uintptr_t va, PhysAddr, usize bytes, Access access, MemoryType) {
    if (va % kPageSize != 0 || bytes % kPageSize != 0) return fail(Error::invalid);
    if (!in_stack_window(va, bytes)) return {};
    const int protection = access == Access::read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void* const at = reinterpret_cast<void*>(va);
    if (mmap(at, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
        return fail(Error::exists);
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(at, bytes);
#endif
    return {};
}

Result<> unmap(std::uintptr_t va, usize bytes) {
    if (in_stack_window(va, bytes)) munmap(reinterpret_cast<void*>(va), bytes);
    return {};
}

Result<std::uintptr_t> map_device(PhysAddr pa, usize) {
    return static_cast<std::uintptr_t>(pa.raw);
}

void describe(const Registers& registers, TextSink sink) {
    format(sink, "pc={:016x} fp={:016x} sp={:016x}\n", registers.pc, registers.fp, registers.sp);
}

usize backtrace(std::uintptr_t frame, std::span<std::uintptr_t> return_addresses) {
    usize count = 0;
    while (count < return_addresses.size() && frame != 0 && frame % sizeof(std::uintptr_t) == 0) {
        std::uintptr_t words[2];  // the caller's frame pointer, the return address
        iovec to{words, sizeof words}, from{reinterpret_cast<void*>(frame), sizeof words};
        if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != sizeof words || words[1] == 0) break;
        return_addresses[count++] = words[1];
        if (words[0] <= frame || words[0] - frame > 1_MiB) break;
        frame = words[0];
    }
    return count;
}

CodeOwner code_owner(std::uintptr_t address) {
    const auto hook = owner_hook.load();
    return hook != nullptr ? hook(address) : CodeOwner::application;
}

void power_init(const Platform&) {}
void poweroff() {
    end(host::PowerEvent::poweroff, 0, "poweroff");
}
void reboot() {
    end(host::PowerEvent::reboot, 0, "reboot");
}
void halt() {
    end(host::PowerEvent::halt, 0, "halt");
}
void end_vm(u8 status) {
    end(host::PowerEvent::end_vm, status, "end_vm");
}

namespace host {
void set_power_hook(void (*hook)(PowerEvent, u8)) {
    power_hook = hook;
}
void set_code_owner(CodeOwner (*hook)(std::uintptr_t)) {
    owner_hook = hook;
}
}  // namespace host

}  // namespace ringlet::arch
