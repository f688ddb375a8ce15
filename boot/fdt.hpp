// A read-only, defensive devicetree reader over the flattened blob, and what this system wants to know from
// one. Devicetree Specification v0.4: §2.3 (standard properties), §2.4 (interrupts), §5 (flattened format).
// Nothing is allocated, nothing recurses, every offset and length is checked: a damaged blob gives an Error.
// Context: any (the reader is a value over the bytes); used at boot on one CPU.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "arch/platform.hpp"
#include "boot/boot_info.hpp"
#include "lib/bytes.hpp"
#include "lib/format.hpp"
#include "lib/result.hpp"

namespace ringlet::boot {

/// Takes one sentence about what is wrong or was ignored. Used where the kernel log may not exist yet.
using Complain = TextSink;
inline constexpr auto kSilently = [](std::string_view) {};

class Fdt;

/// A node together with its ancestors (needed for address translation). A value; valid as long as the blob.
class FdtNode {
public:
    static constexpr usize kMaxDepth = 12;

    /// "pl011@9000000"; empty for the root.
    std::string_view name() const { return levels_[depth_ - 1].name; }
    /// 1 for the root.
    usize depth() const { return depth_; }
    std::optional<Bytes> property(std::string_view name) const { return property_of(depth_ - 1, name); }
    bool has(std::string_view name) const { return property(name).has_value(); }
    /// The property's one 32-bit cell; nothing when absent or of another size.
    std::optional<u32> cell(std::string_view name) const;
    /// One number of one or two cells.
    std::optional<u64> number(std::string_view name) const;
    /// The property as text up to its NUL; empty when absent.
    std::string_view text(std::string_view name) const;
    /// Is `what` one of the strings of `compatible`?
    bool compatible(std::string_view what) const { return lists(property("compatible").value_or(Bytes{}), what); }
    /// Is `what` one of the strings of `list`, a property's value?
    static bool lists(Bytes list, std::string_view what);
    /// "/a/b@0" with or without the unit addresses (a trailing ":options" is not accepted here).
    bool path_is(std::string_view path) const;
    /// The parent's node; must not be called on the root (it returns the root again).
    FdtNode parent() const;

    /// How many (address, size) pairs `reg` holds.
    usize reg_count() const;
    /// The `index`-th pair of `reg`, translated through every `ranges` up to CPU addresses.
    Result<arch::MmioRange> reg(usize index = 0) const;
    /// A child-bus address of this node, translated to a CPU address (this node's own `ranges` not applied).
    Result<u64> translate_from_parent_bus(u64 address, u64 bytes) const;
    /// The `index`-th entry of `interrupts` or `interrupts-extended`, as wired to an Arm GIC.
    Result<arch::IrqLine> interrupt(usize index = 0) const;

    u32 address_cells() const { return address_cells_of(depth_ - 1); }
    u32 size_cells() const { return size_cells_of(depth_ - 1); }

private:
    friend class Fdt;
    struct Level {
        std::string_view name;
        u32 properties = 0;  ///< offset of the first token after the name, in the structure block
        mutable std::optional<u32> address_cells, size_cells;  ///< of its children, once they were asked for
    };
    std::optional<Bytes> property_of(usize level, std::string_view name) const;
    u32 cell_of(usize level, std::string_view name, u32 otherwise) const;
    bool is_enabled(usize level) const;
    u32 address_cells_of(usize level) const;
    u32 size_cells_of(usize level) const;

    const Fdt* fdt_ = nullptr;
    usize depth_ = 0;
    std::array<Level, kMaxDepth> levels_{};
};

/// What a specifier for this interrupt controller looks like.
struct InterruptParent {
    u32 phandle = 0;
    u32 address_cells = 0, interrupt_cells = 0;
    bool is_gic = false;
};

class Fdt {
public:
    /// Checks the header and that every block lies inside `blob` (unused bytes at its end may be missing);
    /// the tree itself is checked while walking.
    static Result<Fdt> open(Bytes blob);
    /// The `totalsize` of a header of which at least 8 bytes are readable; nothing without the magic number.
    static std::optional<u32> total_size(Bytes first_bytes);

    /// Visits every enabled node in order, parents first (a disabled node hides its children), until `visit`
    /// returns false. Error::corrupt when the structure is damaged, including nesting deeper than
    /// FdtNode::kMaxDepth.
    Result<> walk(FunctionRef<bool(const FdtNode&)> visit) const;
    /// "/chosen", "/soc/serial@9000000" (or without the unit address), or an alias.
    Result<FdtNode> find(std::string_view path) const;
    Result<FdtNode> find_phandle(u32 phandle) const;
    /// With a memory of one: nearly every node names the same controller.
    Result<InterruptParent> interrupt_parent(u32 phandle) const;

    /// The memory reservation block (§5.3), in order, at most kMaxReservations entries.
    static constexpr usize kMaxReservations = 64;
    Result<> for_each_reservation(FunctionRef<void(arch::MmioRange)> visit) const;
    /// How many of the blob's bytes hold anything: QEMU's blob claims 1 MiB and uses 8 KiB.
    usize used_bytes() const { return used_; }

private:
    friend class FdtNode;
    Result<FdtNode> first(FunctionRef<bool(const FdtNode&)> matches) const;
    Result<> walk_all(FunctionRef<bool(const FdtNode&, bool& hide)> visit) const;
    Bytes structure_, strings_, reservations_;
    usize used_ = 0;
    mutable InterruptParent last_parent_;
};

/// Decodes one GIC interrupt specifier of 3 or 4 cells (type, number, flags): INTID and trigger.
Result<arch::IrqLine> gic_specifier(Bytes cells);

/// Fills in what the devicetree says about the machine: GIC, timer, PSCI, serial, RTC, PCI host, virtio-mmio,
/// CPUs. A node that makes no sense is skipped with a complaint; a damaged tree is an error and `out` is then
/// incomplete.
Result<> platform_from_fdt(Bytes dtb, arch::Platform& out, Complain complain = kSilently);

/// RAM, what of it is taken (reservations, /reserved-memory, the initrd, the used part of `dtb` itself), the
/// command line, the initrd. Appends to `out.reserved`; replaces the rest; sets out.devicetree to the used
/// part of the blob.
Result<> memory_from_fdt(Bytes dtb, BootInfo& out, Complain complain = kSilently);

/// /chosen/rng-seed: entropy from the loader. Empty when there is none.
Bytes rng_seed_from_fdt(Bytes dtb);

}  // namespace ringlet::boot
