// Fake devices by address and by port. Context: any thread; handlers are called without a lock held.
#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "arch/host.hpp"
#include "arch/host/internal.hpp"
#include "arch/mmio.hpp"
#include "arch/port.hpp"

namespace ringlet::arch {

namespace {

struct Range {
    u64 bytes = 0;
    host::MmioHandler* handler = nullptr;
};

class Space {
public:
    void add(u64 base, u64 bytes, host::MmioHandler& handler) {
        std::unique_lock lock(mutex_);
        auto next = ranges_.lower_bound(base);
        if (bytes == 0 || base + bytes - 1 < base) host::test_error("bad range registered at", base);
        if (next != ranges_.end() && next->first - base < bytes) host::test_error("overlapping range at", base);
        if (next != ranges_.begin()) {
            const auto& before = *std::prev(next);
            if (base - before.first < before.second.bytes) host::test_error("overlapping range at", base);
        }
        ranges_[base] = {bytes, &handler};
    }
    void remove(u64 base) {
        std::unique_lock lock(mutex_);
        if (ranges_.erase(base) == 0) host::test_error("nothing registered at", base);
    }
    /// The handler of [address, address + width), or nullptr; `offset` becomes relative to its base.
    host::MmioHandler* find(u64 address, unsigned width, u64& offset) {
        std::shared_lock lock(mutex_);
        auto after = ranges_.upper_bound(address);
        if (after == ranges_.begin()) return nullptr;
        const auto& [base, range] = *std::prev(after);
        offset = address - base;
        if (offset >= range.bytes) return nullptr;
        if (range.bytes - offset < width) host::test_error("access straddles the end of a device at", address);
        return range.handler;
    }

private:
    std::shared_mutex mutex_;
    std::map<u64, Range> ranges_;
};

Space& mmio() {
    static Space space;
    return space;
}
Space& ports() {
    static Space space;
    return space;
}

u32 port_in(u16 port, unsigned width) {
    u64 offset = 0;
    auto* handler = ports().find(port, width, offset);
    return handler != nullptr ? static_cast<u32>(handler->read(offset, width)) : ~u32{0};
}

void port_out(u16 port, unsigned width, u32 value) {
    u64 offset = 0;
    if (auto* handler = ports().find(port, width, offset)) handler->write(offset, width, value);
}

}  // namespace

u64 detail::fake_mmio_read(std::uintptr_t address, unsigned width) {
    u64 offset = 0;
    auto* handler = mmio().find(address, width, offset);
    if (handler == nullptr) host::test_error("MMIO read from an address where no fake device is:", address);
    if (address % width != 0) host::test_error("misaligned MMIO read from", address);
    const u64 value = handler->read(offset, width);
    std::atomic_thread_fence(std::memory_order_acquire);
    return value;
}

void detail::fake_mmio_write(std::uintptr_t address, unsigned width, u64 value) {
    u64 offset = 0;
    auto* handler = mmio().find(address, width, offset);
    if (handler == nullptr) host::test_error("MMIO write to an address where no fake device is:", address);
    if (address % width != 0) host::test_error("misaligned MMIO write to", address);
    std::atomic_thread_fence(std::memory_order_release);
    handler->write(offset, width, value);
}

u8 port_in8(u16 port) {
    return static_cast<u8>(port_in(port, 1));
}
u16 port_in16(u16 port) {
    return static_cast<u16>(port_in(port, 2));
}
u32 port_in32(u16 port) {
    return port_in(port, 4);
}
void port_out8(u16 port, u8 value) {
    port_out(port, 1, value);
}
void port_out16(u16 port, u16 value) {
    port_out(port, 2, value);
}
void port_out32(u16 port, u32 value) {
    port_out(port, 4, value);
}

namespace host {
void register_mmio(u64 base, u64 bytes, MmioHandler& handler) {
    mmio().add(base, bytes, handler);
}
void unregister_mmio(u64 base) {
    mmio().remove(base);
}
void register_ports(u16 base, u16 count, MmioHandler& handler) {
    ports().add(base, count, handler);
}
void unregister_ports(u16 base) {
    ports().remove(base);
}
}  // namespace host

}  // namespace ringlet::arch
