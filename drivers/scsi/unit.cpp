// The conversation with a unit that was just found. Only INQUIRY and READ CAPACITY must succeed; whatever else a unit
// does not answer, it does not have.
#include "drivers/scsi/unit.hpp"

#include <algorithm>

namespace ringlet::scsi {

namespace {

/// Errors after which asking for something optional would only fail again.
bool hopeless(Error e) {
    return e != Error::unsupported && e != Error::corrupt && e != Error::io && e != Error::invalid;
}

/// An optional answer: empty when the unit has none.
template <class T> Result<std::optional<T>> optional(Run run, const Cdb& c, Result<T> (*parse)(Bytes)) {
    const Result<Bytes> answer = run(c);
    if (!answer) {
        if (hopeless(answer.error())) return fail(answer.error());
        return std::optional<T>{};
    }
    Result<T> value = parse(*answer);
    return value ? std::optional<T>(*value) : std::optional<T>{};
}

Result<Capacity> read_capacity(Run run) {
    // (10) first: a CD-ROM knows no other, and old disks choke on (16).
    Result<Capacity> c = fail(Error::corrupt);
    if (const auto answer = run(read_capacity_10()); answer)
        c = parse_capacity_10(*answer);
    else
        c = fail(answer.error());
    if (!c && c.error() != Error::too_large && c.error() != Error::unsupported) return c;
    const auto longer = run(read_capacity_16());  // the only one that knows about provisioning
    if (!longer) return c ? c : fail(longer.error());
    const auto better = parse_capacity_16(*longer);
    return better || !c ? better : c;
}

Result<Modes> read_modes(Run run) {
    for (const u8 page : {kCachingPage, kAllPages}) {
        if (const auto six = TRY(optional(run, mode_sense_6(page), parse_mode_sense_6))) return *six;
        if (const auto ten = TRY(optional(run, mode_sense_10(page), parse_mode_sense_10))) return *ten;
    }
    return Modes{};
}

void choose_ways(Unit& u) {
    const Provisioning& p = u.provisioning;
    const u64 most = std::min<u64>(u.capacity.blocks, 0xffff'ffff);
    u.unmap = UnmapWay::none;
    u.zero = ZeroWay::none;
    u.max_unmap_blocks = u.max_zero_blocks = 0;
    if (u.read_only() || most == 0) return;
    const u64 same = u.limits.max_write_same_blocks != 0 ? std::min(most, u.limits.max_write_same_blocks) : most;
    if (p.write_same_16 || u.limits.max_write_same_blocks != 0)
        u.zero = ZeroWay::write_same_16, u.max_zero_blocks = u32(same);
    else if (p.write_same_10)
        u.zero = ZeroWay::write_same_10, u.max_zero_blocks = u32(std::min<u64>(same, 0xffff));
    if (!u.capacity.provisioned) return;
    if (p.unmap && u.limits.max_unmap_blocks != 0 && u.limits.max_unmap_ranges != 0)
        u.unmap = UnmapWay::unmap, u.max_unmap_blocks = u32(std::min<u64>(most, u.limits.max_unmap_blocks));
    else if (p.write_same_16)
        u.unmap = UnmapWay::write_same_16, u.max_unmap_blocks = u32(same);
    else if (p.write_same_10)
        u.unmap = UnmapWay::write_same_10, u.max_unmap_blocks = u32(std::min<u64>(same, 0xffff));
}

/// Units that speak SPC-3 or later have these; asking an older one can hang it.
Result<VpdPages> pages_of(Run run, const Unit& u) {
    if (u.inquiry.version < 3) return VpdPages{};
    return TRY(optional(run, inquiry(VpdPage::supported), parse_vpd_supported)).value_or(VpdPages{});
}

Result<> read_medium(Run run, Unit& u, VpdPages pages) {
    u.capacity = TRY(read_capacity(run));
    u.limits = {};
    u.provisioning = {};
    if (pages.has(VpdPage::block_limits))
        u.limits = TRY(optional(run, inquiry(VpdPage::block_limits), parse_vpd_block_limits)).value_or(BlockLimits{});
    if (pages.has(VpdPage::provisioning))
        u.provisioning =
            TRY(optional(run, inquiry(VpdPage::provisioning), parse_vpd_provisioning)).value_or(Provisioning{});
    const Modes modes = TRY(read_modes(run));
    u.write_protected = modes.write_protected;
    // Without a caching page nobody can know: flush, which at worst is an unknown command.
    u.write_cache = !u.read_only() && modes.write_cache.value_or(true);
    u.medium = true;
    choose_ways(u);
    return {};
}

Result<> find_medium(Run run, Unit& u, VpdPages pages) {
    u.medium = false;
    u.capacity = {};
    auto found = read_medium(run, u, pages);
    if (!found && found.error() == Error::not_found && u.inquiry.removable) return {};  // an empty drive is a drive
    return found;
}

}  // namespace

Result<Unit> identify(Run run) {
    Unit u;
    const Bytes answer = TRY(run(inquiry()));
    u.inquiry = TRY(parse_inquiry(answer));
    if (!u.inquiry.connected) return fail(Error::not_found);
    if (!u.inquiry.has_blocks()) return fail(Error::unsupported);
    const VpdPages pages = TRY(pages_of(run, u));
    if (pages.has(VpdPage::serial))
        u.serial = TRY(optional(run, inquiry(VpdPage::serial), parse_vpd_serial)).value_or(Serial{});
    if (pages.has(VpdPage::identification))
        u.identity =
            TRY(optional(run, inquiry(VpdPage::identification), parse_vpd_identification)).value_or(Identity{});
    if (pages.has(VpdPage::characteristics))
        u.characteristics = TRY(optional(run, inquiry(VpdPage::characteristics), parse_vpd_characteristics))
                                .value_or(Characteristics{});
    TRY(find_medium(run, u, pages));
    return u;
}

Result<> refresh(Run run, Unit& u) {
    const auto pages = pages_of(run, u);
    if (!pages) {
        u.medium = false;
        return fail(pages.error());
    }
    return find_medium(run, u, *pages);
}

}  // namespace ringlet::scsi
