// A model of PCI configuration space behind one host bridge: functions, bridges that really route by their
// bus numbers, BARs that answer the sizing protocol, and complaints when the driver breaks a rule.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arch/host.hpp"
#include "drivers/pci/spec.hpp"

namespace fake {

using namespace ringlet;
namespace spec = pci::spec;

struct FakeFunction {
    std::array<u8, 256> regs{};
    struct FakeBar {
        u64 bytes = 0;
        u32 flags = 0;
        bool upper = false;
    };
    std::array<FakeBar, 6> bars{};
    std::map<int, std::shared_ptr<FakeFunction>> children;  // by slot << 3 | function
    bool bridge = false, stuck = false;                     // stuck: BARs do not keep what is written
    std::vector<std::string>* violations = nullptr;

    template <class T> T get(u16 at) const {
        T v;
        std::memcpy(&v, &regs[at], sizeof v);
        return v;
    }
    template <class T> FakeFunction& set(u16 at, std::type_identity_t<T> v) {
        std::memcpy(&regs[at], &v, sizeof v);
        return *this;
    }

    FakeFunction& bar(unsigned n, u64 bytes, u32 flags, u64 address = 0) {
        bars[n] = {bytes, flags, false};
        set<u32>(static_cast<u16>(0x10 + 4 * n), static_cast<u32>(address) | flags);
        if ((flags & 7) == 4 && n < 5) {
            bars[n + 1] = {bytes, flags, true};
            set<u32>(static_cast<u16>(0x14 + 4 * n), static_cast<u32>(address >> 32));
        }
        return *this;
    }
    u64 bar_address(unsigned n) const {
        u64 a = get<u32>(static_cast<u16>(0x10 + 4 * n)) & ((bars[n].flags & 1) != 0 ? ~3u : ~15u);
        if ((bars[n].flags & 7) == 4) a |= u64{get<u32>(static_cast<u16>(0x14 + 4 * n))} << 32;
        return a;
    }
    u64 window(u16 base, bool limit) const {
        return u64{get<u16>(static_cast<u16>(base + (limit ? 2 : 0)))} >> 4 << 20 | (limit ? 0xfffff : 0);
    }

    void write32(u16 at, u32 value) {
        if (at >= 0x10 && at < (bridge ? 0x18 : 0x28)) return write_bar((at - 0x10u) / 4, value);
        for (u16 i = 0; i < 4; ++i) write8(static_cast<u16>(at + i), static_cast<u8>(value >> (8 * i)));
    }
    void write8(u16 at, u8 value) {
        if (at == 0x04)
            value &= 7;
        else if (at == 0x05)
            value &= 4;
        else if (bridge && at >= 0x18 && at < 0x34) {
            if (at == 0x1c || at == 0x1d) value = static_cast<u8>(value & 0xf0) | 1;
            if (at == 0x24 || at == 0x26) value = static_cast<u8>(value & 0xf0) | 1;
        } else if (at != 0x3c && !writable.contains(at))
            return;
        regs[at] = value;
    }
    std::map<u16, int> writable;  // capability bytes that may be written

private:
    void write_bar(unsigned n, u32 value) {
        const FakeBar& b = bars[n];
        if (b.bytes == 0) return;
        const bool io = (b.flags & 1) != 0;
        if ((get<u16>(0x04) & (io ? 1 : 2)) != 0 && violations != nullptr)
            violations->push_back("BAR written while decoding");
        if (stuck && value != ~0u) return;
        const u64 mask = ~(b.bytes - 1);
        const u32 kept = b.upper ? value & static_cast<u32>(mask >> 32) : (value & static_cast<u32>(mask)) | b.flags;
        set<u32>(static_cast<u16>(0x10 + 4 * n), kept);
    }
};

using FunctionPtr = std::shared_ptr<FakeFunction>;

inline FunctionPtr make_device(u16 vendor = 0x1af4, u16 device = 0x1041, u32 class_code = 0x020000) {
    auto f = std::make_shared<FakeFunction>();
    f->set<u16>(0, vendor).set<u16>(2, device).set<u32>(8, class_code << 8 | 1).set<u8>(0x3d, 1);
    return f;
}
inline FunctionPtr make_bridge(bool one_slot = true) {
    auto f = make_device(0x1b36, 0x000c, 0x060400);
    f->bridge = true;
    f->set<u8>(0x0e, 1);
    f->set<u8>(0x1c, 1).set<u8>(0x1d, 1).set<u16>(0x24, 1).set<u16>(0x26, 1);
    if (one_slot) f->set<u16>(6, 0x10).set<u8>(0x34, 0x40).set<u16>(0x40, 0x0010).set<u16>(0x42, 4 << 4 | 2);
    return f;
}

/// The window (ECAM) of a host bridge at `base`.
class FakeHost : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0x3f00'0000;
    explicit FakeHost(u8 buses = 16) { arch::host::register_mmio(kBase, u64{buses} << 20, *this); }
    ~FakeHost() { arch::host::unregister_mmio(kBase); }

    FunctionPtr put(FunctionPtr bridge, int slot, FunctionPtr f, int function = 0) {
        f->violations = &violations;
        (bridge ? bridge->children : root)[slot << 3 | function] = f;
        return f;
    }

    u64 read(u64 offset, unsigned width) override {
        ++reads;
        const FunctionPtr f = find(offset);
        const u64 at = offset & 0xfff;
        if (!f || at + width > 256) return ~u64{0} >> (64 - 8 * width);
        u64 v = 0;
        std::memcpy(&v, &f->regs[at], width);
        return v;
    }
    void write(u64 offset, unsigned width, u64 value) override {
        const FunctionPtr f = find(offset);
        const auto at = static_cast<u16>(offset & 0xfff);
        if (!f || at + width > 256) return;
        if (width == 4) return f->write32(at, static_cast<u32>(value));
        for (u16 i = 0; i < width; ++i) f->write8(static_cast<u16>(at + i), static_cast<u8>(value >> (8 * i)));
    }

    std::map<int, FunctionPtr> root;
    std::vector<std::string> violations;
    u64 reads = 0;

private:
    FunctionPtr find(u64 offset) const {
        const auto bus = static_cast<u8>(offset >> 20);
        const int devfn = static_cast<int>(offset >> 12 & 0xff);
        const auto* level = &root;
        u8 at = 0;
        for (int depth = 0; depth < 32; ++depth) {
            if (bus == at) {
                const auto it = level->find(devfn);
                return it == level->end() ? nullptr : it->second;
            }
            const std::map<int, FunctionPtr>* next = nullptr;
            for (const auto& [slot, f] : *level) {
                const u8 secondary = f->regs[0x19], subordinate = f->regs[0x1a];
                if (!f->bridge || secondary == 0 || bus < secondary || bus > subordinate) continue;
                next = &f->children;
                at = secondary;
                break;
            }
            if (next == nullptr) return nullptr;
            level = next;
        }
        return nullptr;
    }
};

}  // namespace fake
