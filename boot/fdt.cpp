// The devicetree reader: header, structure block, addresses and interrupts. See fdt.hpp.
#include "boot/fdt.hpp"

#include <algorithm>

#include "lib/endian.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

// §5.2 and §5.4.1.
constexpr u32 kMagic = 0xd00dfeed;
constexpr u32 kVersion = 17;
/// Far above any real tree (QEMU virt with 512 CPUs: 100 KiB); bounds the time that a hostile one can take.
constexpr u32 kMaxStructure = 512 * 1024;
constexpr u32 kBeginNode = 1, kEndNode = 2, kProp = 3, kNop = 4, kEnd = 9;

struct Header {
    be32 magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version, last_comp_version, boot_cpuid_phys,
        size_dt_strings, size_dt_struct;
};
static_assert(sizeof(Header) == 40);

std::optional<u32> cell_at(Bytes from, usize offset) {
    const auto v = read_at<be32>(from, offset);
    if (!v) return std::nullopt;
    return u32{*v};
}

/// The text at `offset` up to its NUL; nothing when the NUL is missing.
std::optional<std::string_view> text_at(Bytes from, usize offset) {
    if (offset >= from.size()) return std::nullopt;
    const auto* begin = reinterpret_cast<const char*>(from.data()) + offset;
    const auto* end = static_cast<const char*>(std::memchr(begin, 0, from.size() - offset));
    if (end == nullptr) return std::nullopt;
    return std::string_view(begin, static_cast<usize>(end - begin));
}

/// Is the NUL-terminated text at `offset` exactly `name`? Faster than finding the NUL first.
bool text_is(Bytes from, usize offset, std::string_view name) {
    const auto there = slice(from, offset, name.size() + 1);
    return there && std::memcmp(there->data(), name.data(), name.size()) == 0 && there->back() == std::byte{0};
}

/// One token of the structure block, its payload, and where the next one begins.
struct Token {
    u32 kind = 0;
    usize next = 0;
    std::string_view name;  ///< begin node
    u32 name_offset = 0;    ///< property: in the strings block
    Bytes value;            ///< property
};

std::optional<Token> token_at(Bytes structure, usize at) {
    const auto kind = cell_at(structure, at);
    if (!kind) return std::nullopt;
    Token t{*kind, at + 4, {}, 0, {}};
    switch (*kind) {
    case kBeginNode: {
        const auto name = text_at(structure, t.next);
        if (!name) return std::nullopt;
        t.name = *name;
        t.next = align_up(t.next + name->size() + 1, usize{4});
        return t;
    }
    case kProp: {
        const auto length = cell_at(structure, at + 4), name = cell_at(structure, at + 8);
        if (!length || !name) return std::nullopt;
        const auto value = slice(structure, at + 12, *length);
        if (!value) return std::nullopt;
        t.name_offset = *name;
        t.value = *value;
        t.next = align_up(at + 12 + usize{*length}, usize{4});
        return t;
    }
    case kEndNode:
    case kNop:
    case kEnd:
        return t;
    default:
        return std::nullopt;
    }
}

/// `count` (0..2) cells as one number.
std::optional<u64> number_at(Bytes from, usize offset, u32 count) {
    if (count == 0) return 0;
    const auto high = cell_at(from, offset);
    if (!high || count > 2) return std::nullopt;
    if (count == 1) return u64{*high};
    const auto low = cell_at(from, offset + 4);
    if (!low) return std::nullopt;
    return u64{*high} << 32 | *low;
}

std::string_view without_unit(std::string_view name) {
    return substring(name, 0, name.find('@'));
}

}  // namespace

// --- The blob
// -----------------------------------------------------------------------------------------------------

std::optional<u32> Fdt::total_size(Bytes first_bytes) {
    const auto magic = cell_at(first_bytes, 0), size = cell_at(first_bytes, 4);
    if (!magic || !size || *magic != kMagic) return std::nullopt;
    return size;
}

Result<Fdt> Fdt::open(Bytes blob) {
    const auto header = read_at<Header>(blob, 0);
    if (!header || header->magic != kMagic) return fail(Error::not_found);
    if (header->version < kVersion || header->last_comp_version > kVersion) return fail(Error::unsupported);
    if (header->totalsize < sizeof(Header)) return fail(Error::corrupt);
    // Whoever kept only the used part (see used_bytes) may open that again.
    const Bytes all = blob.first(std::min<usize>(header->totalsize, blob.size()));

    Fdt fdt;
    const auto structure = slice(all, header->off_dt_struct, header->size_dt_struct);
    const auto strings = slice(all, header->off_dt_strings, header->size_dt_strings);
    if (!structure || !strings || header->off_dt_struct % 4 != 0) return fail(Error::corrupt);
    if (header->size_dt_struct > kMaxStructure) return fail(Error::too_large);
    if (header->off_mem_rsvmap > all.size()) return fail(Error::corrupt);
    fdt.structure_ = *structure;
    fdt.strings_ = *strings;
    fdt.reservations_ = all.subspan(header->off_mem_rsvmap);

    usize reservations_end = header->off_mem_rsvmap + 16;
    TRY(fdt.for_each_reservation([&](arch::MmioRange) { reservations_end += 16; }));
    for (const u64 end : {u64{header->off_dt_struct} + header->size_dt_struct,
                          u64{header->off_dt_strings} + header->size_dt_strings, u64{reservations_end}})
        if (end > fdt.used_) fdt.used_ = static_cast<usize>(end);
    return fdt;
}

Result<> Fdt::for_each_reservation(FunctionRef<void(arch::MmioRange)> visit) const {
    for (usize i = 0; i <= kMaxReservations; ++i) {
        const auto base = read_at<be64>(reservations_, i * 16), bytes = read_at<be64>(reservations_, i * 16 + 8);
        if (!base || !bytes) return fail(Error::corrupt);
        if (*base == 0 && *bytes == 0) return {};
        visit({PhysAddr(*base), *bytes});
    }
    return fail(Error::corrupt);
}

/// Every node, enabled or not; `visit` sets `hide` to pass over a node's children.
Result<> Fdt::walk_all(FunctionRef<bool(const FdtNode&, bool& hide)> visit) const {
    FdtNode node;
    node.fdt_ = this;
    usize hidden_from = 0;  // the depth of the node whose children are passed over; 0: none
    for (usize at = 0;;) {
        const auto token = token_at(structure_, at);
        if (!token) return fail(Error::corrupt);
        at = token->next;
        switch (token->kind) {
        case kBeginNode: {
            if (node.depth_ == FdtNode::kMaxDepth) return fail(Error::corrupt);
            node.levels_[node.depth_++] = {token->name, static_cast<u32>(at), {}, {}};
            if (hidden_from != 0) break;
            bool hide = false;
            if (!visit(node, hide)) return {};
            if (hide) hidden_from = node.depth_;
            break;
        }
        case kEndNode:
            if (node.depth_ == 0) return fail(Error::corrupt);
            if (hidden_from == node.depth_) hidden_from = 0;
            --node.depth_;
            break;
        case kProp:
            if (node.depth_ == 0) return fail(Error::corrupt);
            break;
        case kEnd:
            if (node.depth_ != 0) return fail(Error::corrupt);
            return {};
        default:
            break;
        }
    }
}

Result<> Fdt::walk(FunctionRef<bool(const FdtNode&)> visit) const {
    return walk_all([&](const FdtNode& node, bool& hide) {
        hide = !node.is_enabled(node.depth_ - 1);
        return hide || visit(node);
    });
}

/// The first enabled node that matches. Only of those that do is it asked whether they are enabled: it costs more.
Result<FdtNode> Fdt::first(FunctionRef<bool(const FdtNode&)> matches) const {
    FdtNode found;
    TRY(walk_all([&](const FdtNode& node, bool&) {
        if (!matches(node)) return true;
        for (usize level = 0; level < node.depth_; ++level)
            if (!node.is_enabled(level)) return true;
        found = node;
        return false;
    }));
    if (found.fdt_ == nullptr) return fail(Error::not_found);
    return found;
}

Result<FdtNode> Fdt::find(std::string_view path) const {
    if (!path.starts_with('/')) {
        const auto aliases = find("/aliases");
        if (!aliases) return fail(Error::not_found);
        path = aliases->text(path);
        if (!path.starts_with('/')) return fail(Error::not_found);
    }
    return first([&](const FdtNode& node) { return node.path_is(path); });
}

Result<FdtNode> Fdt::find_phandle(u32 phandle) const {
    return first(
        [&](const FdtNode& node) { return node.cell("phandle") == phandle || node.cell("linux,phandle") == phandle; });
}

Result<InterruptParent> Fdt::interrupt_parent(u32 phandle) const {
    if (phandle == 0) return fail(Error::not_found);
    if (last_parent_.phandle == phandle) return last_parent_;
    const FdtNode node = TRY(find_phandle(phandle));
    InterruptParent parent;
    parent.phandle = phandle;
    // §2.4.3.1: an absent #address-cells of an interrupt parent counts as zero, unlike that of a bus.
    parent.address_cells = node.cell("#address-cells").value_or(0);
    parent.interrupt_cells = node.cell("#interrupt-cells").value_or(0);
    if (parent.address_cells > 3 || parent.interrupt_cells == 0 || parent.interrupt_cells > 8)
        return fail(Error::corrupt);
    for (const std::string_view name : {"arm,gic-v3", "arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic"})
        if (node.compatible(name)) parent.is_gic = true;
    last_parent_ = parent;
    return parent;
}

// --- A node
// -------------------------------------------------------------------------------------------------------

std::optional<Bytes> FdtNode::property_of(usize level, std::string_view name) const {
    for (usize at = levels_[level].properties;;) {
        const auto token = token_at(fdt_->structure_, at);
        if (!token) return std::nullopt;
        if (token->kind == kProp && text_is(fdt_->strings_, token->name_offset, name)) return token->value;
        if (token->kind != kProp && token->kind != kNop) return std::nullopt;
        at = token->next;
    }
}

u32 FdtNode::cell_of(usize level, std::string_view name, u32 otherwise) const {
    const auto value = property_of(level, name);
    if (!value || value->size() != 4) return otherwise;
    return *cell_at(*value, 0);
}

std::optional<u32> FdtNode::cell(std::string_view name) const {
    const auto value = property(name);
    if (!value || value->size() != 4) return std::nullopt;
    return cell_at(*value, 0);
}

std::optional<u64> FdtNode::number(std::string_view name) const {
    const auto value = property(name);
    if (!value || (value->size() != 4 && value->size() != 8)) return std::nullopt;
    return number_at(*value, 0, static_cast<u32>(value->size() / 4));
}

std::string_view FdtNode::text(std::string_view name) const {
    const auto value = property(name);
    if (!value) return {};
    return text_at(*value, 0).value_or(std::string_view{});
}

bool FdtNode::lists(Bytes list, std::string_view what) {
    for (usize at = 0; at < list.size();) {
        const auto one = text_at(list, at);
        if (!one) return false;
        if (*one == what) return true;
        at += one->size() + 1;
    }
    return false;
}

bool FdtNode::is_enabled(usize level) const {
    const auto value = property_of(level, "status");
    const std::string_view status = value ? text_at(*value, 0).value_or(std::string_view{}) : std::string_view{};
    return status.empty() || status == "okay" || status == "ok";
}

u32 FdtNode::address_cells_of(usize level) const {
    std::optional<u32>& known = levels_[level].address_cells;
    if (!known) known = cell_of(level, "#address-cells", 2);
    return *known;
}

u32 FdtNode::size_cells_of(usize level) const {
    std::optional<u32>& known = levels_[level].size_cells;
    if (!known) known = cell_of(level, "#size-cells", 1);
    return *known;
}

bool FdtNode::path_is(std::string_view path) const {
    if (path == "/") return depth_ == 1;
    for (usize level = 1; level < depth_; ++level) {
        if (!path.starts_with('/')) return false;
        path.remove_prefix(1);
        const std::string_view part = substring(path, 0, path.find('/'));
        const std::string_view full = levels_[level].name;
        if (part != full && part != without_unit(full)) return false;
        path.remove_prefix(part.size());
    }
    return path.empty() && depth_ > 1;
}

FdtNode FdtNode::parent() const {
    FdtNode up = *this;
    if (up.depth_ > 1) --up.depth_;
    return up;
}

usize FdtNode::reg_count() const {
    const auto value = property("reg");
    if (!value || depth_ < 2) return 0;
    const u32 address = address_cells_of(depth_ - 2), size = size_cells_of(depth_ - 2);
    if (address > 3 || size > 2 || address + size == 0) return 0;
    return value->size() / (usize{address + size} * 4);
}

Result<arch::MmioRange> FdtNode::reg(usize index) const {
    const auto value = property("reg");
    if (!value || depth_ < 2) return fail(Error::not_found);
    const u32 address = address_cells_of(depth_ - 2), size = size_cells_of(depth_ - 2);
    if (address > 3 || size > 2 || address + size == 0) return fail(Error::not_found);
    const usize row = usize{address + size} * 4, at = index * row;
    if (index >= value->size() / row) return fail(Error::not_found);
    const auto base = number_at(*value, at, address), bytes = number_at(*value, at + usize{address} * 4, size);
    if (!base || !bytes) return fail(Error::unsupported);
    const u64 cpu = TRY(translate_from_parent_bus(*base, *bytes));
    return arch::MmioRange{PhysAddr(cpu), *bytes};
}

// §2.3.8: each bus on the way up may shift its children's addresses; the root's children are the CPU's
// addresses.
Result<u64> FdtNode::translate_from_parent_bus(u64 address, u64 bytes) const {
    for (usize bus = depth_ - 1; bus >= 2; --bus) {  // levels_[bus - 1] is the bus whose `ranges` apply
        const auto ranges = property_of(bus - 1, "ranges");
        if (!ranges) return fail(Error::unsupported);
        if (ranges->empty()) continue;
        const u32 child = address_cells_of(bus - 1), parent = address_cells_of(bus - 2), size = size_cells_of(bus - 1);
        if (child > 2 || parent > 2 || size > 2 || child + parent + size == 0) return fail(Error::unsupported);
        bool found = false;
        for (usize at = 0; at < ranges->size() && !found; at += usize{child + parent + size} * 4) {
            const auto from = number_at(*ranges, at, child), to = number_at(*ranges, at + usize{child} * 4, parent),
                       length = number_at(*ranges, at + usize{child + parent} * 4, size);
            if (!from || !to || !length) return fail(Error::corrupt);
            if (address < *from || address - *from > *length || *length - (address - *from) < bytes) continue;
            if (__builtin_add_overflow(*to, address - *from, &address)) return fail(Error::corrupt);
            found = true;
        }
        if (!found) return fail(Error::not_found);
    }
    u64 end;
    if (__builtin_add_overflow(address, bytes, &end)) return fail(Error::corrupt);
    return address;
}

Result<arch::IrqLine> FdtNode::interrupt(usize index) const {
    if (const auto extended = property("interrupts-extended")) {
        for (usize at = 0;; --index) {
            const auto phandle = cell_at(*extended, at);
            if (!phandle) return fail(Error::not_found);
            const InterruptParent parent = TRY(fdt_->interrupt_parent(*phandle));
            const auto cells = slice(*extended, at + 4, usize{parent.interrupt_cells} * 4);
            if (!cells) return fail(Error::corrupt);
            if (index == 0) return parent.is_gic ? gic_specifier(*cells) : fail(Error::unsupported);
            at += 4 + cells->size();
        }
    }
    const auto value = property("interrupts");
    if (!value) return fail(Error::not_found);
    u32 phandle = 0;
    for (usize level = depth_; level-- > 0 && phandle == 0;) phandle = cell_of(level, "interrupt-parent", 0);
    const InterruptParent parent = TRY(fdt_->interrupt_parent(phandle));
    const usize width = usize{parent.interrupt_cells} * 4;
    if (index >= value->size() / width) return fail(Error::not_found);
    if (!parent.is_gic) return fail(Error::unsupported);
    return gic_specifier(value->subspan(index * width, width));
}

// arm,gic.yaml: type 0 = SPI (INTID 32 up), 1 = PPI (INTID 16..31); flags 1/2 edge rising/falling, 4/8 level
// high/low.
Result<arch::IrqLine> gic_specifier(Bytes cells) {
    const auto type = cell_at(cells, 0), number = cell_at(cells, 4), flags = cell_at(cells, 8);
    if (!type || !number || !flags) return fail(Error::corrupt);
    if (*type > 1 || *number >= (*type == 0 ? 988u : 16u)) return fail(Error::corrupt);
    arch::IrqLine line;
    line.number = *number + (*type == 0 ? 32 : 16);
    line.trigger = (*flags & 3) != 0 ? arch::Trigger::edge : arch::Trigger::level;
    line.polarity = (*flags & 0xa) != 0 ? arch::Polarity::low : arch::Polarity::high;
    return line;
}

}  // namespace ringlet::boot
