// Parsers. None of them reads beyond `from`, and none computes with a number before it is known to be small enough.
#include "drivers/scsi/answers.hpp"

#include <algorithm>

#include "lib/endian.hpp"

namespace ringlet::scsi {

namespace {

constexpr u64 kMaxSectors = u64{1} << 54;  // 8 EiB: byte offsets fit 63 bits

/// 0 beyond the end: the standards' "not reported".
template <class E> auto number(Bytes from, usize at) {
    return u64(read_at<E>(from, at).value_or(E{}));
}

template <usize kN> Text<kN> text(Bytes from) {
    Text<kN> t;
    for (const std::byte b : from) {
        const char c = char(b);
        if (t.length == kN || c == 0) break;
        if (t.length != 0 || c != ' ') t.chars[t.length++] = c > ' ' && c < 0x7f ? c : c == ' ' ? ' ' : '?';
    }
    while (t.length != 0 && t.chars[t.length - 1] == ' ') --t.length;
    return t;
}
Bytes piece(Bytes from, usize at, usize bytes) {
    if (at >= from.size()) return {};
    return from.subspan(at, std::min(bytes, from.size() - at));
}

/// What lies behind the four bytes of a page's header, if it is the page that was asked for.
Result<Bytes> vpd_body(Bytes from, VpdPage page) {
    if (from.size() < 4 || u8(from[1]) != u8(page)) return fail(Error::corrupt);
    return piece(from, 4, usize(number<be16>(from, 2)));
}
/// The same with the header, so that offsets are those of the standard.
Result<Bytes> vpd_whole(Bytes from, VpdPage page) {
    const Bytes body = TRY(vpd_body(from, page));
    return from.first(4 + body.size());
}

Text<40> hexadecimal(Bytes from) {
    Text<40> t;
    for (const std::byte b : from) {
        if (t.length + 2u > t.chars.size()) break;
        for (const u8 digit : {u8(u8(b) >> 4), u8(u8(b) & 15)})
            t.chars[t.length++] = char(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    return t;
}

/// How much we like a designator; 0: not at all.
unsigned rank_of(u8 kind) {
    switch (kind) {
    case 3:  // NAA
        return 4;
    case 2:  // EUI-64
        return 3;
    case 1:  // T10 vendor identification
        return 2;
    case 0:  // vendor specific
        return 1;
    default:
        return 0;
    }
}

Result<Capacity> checked(Capacity c) {
    if (c.block_size < 512 || c.block_size > 65536 || (c.block_size & (c.block_size - 1)) != 0)
        return fail(Error::unsupported);
    if (c.blocks > kMaxSectors / (c.block_size / 512)) return fail(Error::unsupported);
    return c;
}

Result<Modes> parse_modes(Bytes from, usize header, usize device_specific, usize descriptors) {
    Modes m;
    m.write_protected = (u8(from[device_specific]) & 0x80) != 0;
    Bytes rest = piece(from, header + descriptors, from.size());
    while (rest.size() >= 2) {
        const u8 page = u8(rest[0]) & 0x3f;
        const bool sub_page = (u8(rest[0]) & 0x40) != 0;
        const usize bytes = sub_page ? 4 + usize(number<be16>(rest, 2)) : usize{2} + u8(rest[1]);
        if (page == kCachingPage && !sub_page && rest.size() > 2 && bytes > 2)
            m.write_cache = (u8(rest[2]) & 0x04) != 0;
        if (bytes >= rest.size()) break;
        rest = rest.subspan(bytes);
    }
    return m;
}

}  // namespace

Result<Inquiry> parse_inquiry(Bytes from) {
    if (from.size() < 5) return fail(Error::corrupt);
    Inquiry i;
    i.type = DeviceType(u8(from[0]) & 0x1f);
    i.connected = u8(from[0]) >> 5 == 0 && i.type != DeviceType::none;
    i.removable = (u8(from[1]) & 0x80) != 0;
    i.version = u8(from[2]);
    const Bytes whole = from.first(std::min(from.size(), usize{5} + u8(from[4])));
    i.queueing = whole.size() > 7 && (u8(whole[7]) & 0x02) != 0;
    i.vendor = text<8>(piece(whole, 8, 8));
    i.product = text<16>(piece(whole, 16, 16));
    i.revision = text<4>(piece(whole, 32, 4));
    return i;
}

Result<VpdPages> parse_vpd_supported(Bytes from) {
    VpdPages pages;
    for (const std::byte b : TRY(vpd_body(from, VpdPage::supported))) pages.add(VpdPage(b));
    return pages;
}

Result<Serial> parse_vpd_serial(Bytes from) {
    return text<36>(TRY(vpd_body(from, VpdPage::serial)));
}

Result<Identity> parse_vpd_identification(Bytes from) {
    Identity best;
    Bytes rest = TRY(vpd_body(from, VpdPage::identification));
    while (rest.size() >= 4) {
        const usize bytes = u8(rest[3]);
        if (bytes > rest.size() - 4) break;
        const Bytes designator = rest.subspan(4, bytes);
        const u8 kind = u8(rest[1]) & 15, association = u8(rest[1]) >> 4 & 3;
        if (association == 0 && bytes != 0 && (best.kind == 0xff || rank_of(kind) > rank_of(best.kind)) &&
            rank_of(kind) != 0) {
            best.kind = kind;
            best.text = kind >= 2 ? hexadecimal(designator) : text<40>(designator);
        }
        rest = rest.subspan(4 + bytes);
    }
    return best;
}

Result<BlockLimits> parse_vpd_block_limits(Bytes from) {
    const Bytes p = TRY(vpd_whole(from, VpdPage::block_limits));
    BlockLimits l;
    l.max_transfer_blocks = u32(number<be32>(p, 8));
    l.optimal_blocks = u32(number<be32>(p, 12));
    l.max_unmap_blocks = u32(number<be32>(p, 20));
    l.max_unmap_ranges = u32(number<be32>(p, 24));
    l.unmap_granularity = u32(number<be32>(p, 28));
    const u32 alignment = u32(number<be32>(p, 32));
    if ((alignment & 0x8000'0000) != 0) l.unmap_alignment = alignment & 0x7fff'ffff;
    l.max_write_same_blocks = number<be64>(p, 36);
    return l;
}

Result<Characteristics> parse_vpd_characteristics(Bytes from) {
    const Bytes p = TRY(vpd_whole(from, VpdPage::characteristics));
    return Characteristics{.rotation = u16(number<be16>(p, 4))};
}

Result<Provisioning> parse_vpd_provisioning(Bytes from) {
    const Bytes p = TRY(vpd_whole(from, VpdPage::provisioning));
    const u8 flags = u8(number<Endian<u8, std::endian::big>>(p, 5));
    const u8 type = u8(number<Endian<u8, std::endian::big>>(p, 6));
    return Provisioning{.unmap = (flags & 0x80) != 0,
                        .write_same_16 = (flags & 0x40) != 0,
                        .write_same_10 = (flags & 0x20) != 0,
                        .reads_zeros = (flags & 0x1c) == 0x04,
                        .thin = (type & 7) == 2};
}

Result<Capacity> parse_capacity_10(Bytes from) {
    if (from.size() < kCapacity10Bytes) return fail(Error::corrupt);
    const u64 last = number<be32>(from, 0);
    if (last == 0xffff'ffff) return fail(Error::too_large);
    Capacity c;
    c.blocks = last + 1;
    c.block_size = u32(number<be32>(from, 4));
    return checked(c);
}

Result<Capacity> parse_capacity_16(Bytes from) {
    if (from.size() < 12) return fail(Error::corrupt);
    const u64 last = number<be64>(from, 0);
    if (last == ~u64{0}) return fail(Error::unsupported);
    Capacity c;
    c.blocks = last + 1;
    c.block_size = u32(number<be32>(from, 8));
    if (from.size() >= 16) {
        c.blocks_per_physical = 1u << (u8(from[13]) & 15);
        c.provisioned = (u8(from[14]) & 0x80) != 0;
        c.reads_zeros = (u8(from[14]) & 0x40) != 0;
    }
    return checked(c);
}

Result<Modes> parse_mode_sense_6(Bytes from) {
    if (from.size() < 4) return fail(Error::corrupt);
    const usize said = usize{1} + u8(from[0]);
    return parse_modes(from.first(std::clamp(said, usize{4}, from.size())), 4, 2, u8(from[3]));
}

Result<Modes> parse_mode_sense_10(Bytes from) {
    if (from.size() < 8) return fail(Error::corrupt);
    const usize said = 2 + usize(number<be16>(from, 0));
    return parse_modes(from.first(std::clamp(said, usize{8}, from.size())), 8, 3, usize(number<be16>(from, 6)));
}

Result<> parse_report_luns(Bytes from, u16 max_lun, LunList& to) {
    if (from.size() < 8) return fail(Error::corrupt);
    to.list_bytes = u32(number<be32>(from, 0));
    const Bytes list = piece(from, 8, to.list_bytes);
    for (usize at = 0; list.size() - at >= 8; at += 8) {
        const u8 first = u8(list[at]), second = u8(list[at + 1]);
        const u8 method = first >> 6;
        const u64 deeper = number<be64>(list, at) & 0x0000'ffff'ffff'ffff;
        const u16 lun = method == 1 ? u16((first & 0x3f) << 8 | second) : second;
        const bool simple = deeper == 0 && (method == 1 || (method == 0 && first == 0));
        if (!simple || lun > max_lun) {
            ++to.ignored;
            continue;
        }
        // Ascending order by insertion: lists are short and mostly sorted already.
        usize i = to.luns.size();
        while (i != 0 && to.luns[i - 1] > lun) --i;
        if (i != 0 && to.luns[i - 1] == lun) continue;
        if (!to.luns.try_push_back(lun)) {
            ++to.ignored;
            continue;
        }
        std::rotate(to.luns.begin() + i, to.luns.end() - 1, to.luns.end());
    }
    return {};
}

}  // namespace ringlet::scsi
