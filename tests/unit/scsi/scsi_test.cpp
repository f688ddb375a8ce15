// Commands and answers as tables of bytes, from SPC-4 and SBC-3, and answers that lie.
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "drivers/scsi/unit.hpp"

using namespace ringlet;
using namespace ringlet::scsi;

namespace {

using V = std::vector<u8>;
Bytes as_bytes(const V& v) {
    return {reinterpret_cast<const std::byte*>(v.data()), v.size()};
}
V bytes_of(const Cdb& c) {
    for (usize i = c.length; i < c.bytes.size(); ++i) CHECK(c.bytes[i] == 0);
    return {c.bytes.begin(), c.bytes.begin() + c.length};
}
V put(V v, usize at, u64 value, unsigned width) {
    if (v.size() < at + width) v.resize(at + width);
    for (unsigned i = 0; i < width; ++i) v[at + i] = u8(value >> 8 * (width - 1 - i));
    return v;
}
V with_text(V v, usize at, const std::string& s) {
    if (v.size() < at + s.size()) v.resize(at + s.size());
    std::copy(s.begin(), s.end(), v.begin() + long(at));
    return v;
}

}  // namespace

TEST_CASE("Commands are the bytes of the standard") {
    CHECK(bytes_of(test_unit_ready()) == V{0, 0, 0, 0, 0, 0});
    CHECK(bytes_of(request_sense()) == V{3, 0, 0, 0, 96, 0});
    CHECK(bytes_of(inquiry()) == V{0x12, 0, 0, 0, 36, 0});
    CHECK(bytes_of(inquiry(VpdPage::block_limits)) == V{0x12, 1, 0xb0, 0, 252, 0});
    CHECK(bytes_of(read_capacity_10()) == V{0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(bytes_of(read_capacity_16()) == V{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0});
    CHECK(bytes_of(report_luns(4096)) == V{0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0});
    CHECK(bytes_of(mode_sense_6(8)) == V{0x1a, 8, 8, 0, 64, 0});
    CHECK(bytes_of(mode_sense_10(8)) == V{0x5a, 8, 8, 0, 0, 0, 0, 0, 64, 0});
    CHECK(bytes_of(start_stop(Motion::start)) == V{0x1b, 0, 0, 0, 1, 0});
    CHECK(bytes_of(synchronize_cache(0, 0)) == V{0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(bytes_of(synchronize_cache(u64{1} << 32, 1)) == V{0x91, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0});
    CHECK(bytes_of(write_same_10(0x01020304, 0x0506, Unmap::yes, 512)) == V{0x41, 8, 1, 2, 3, 4, 0, 5, 6, 0});
    CHECK(bytes_of(write_same_16(0x0102030405060708, 0x090a0b0c, Unmap::no, 512)) ==
          V{0x93, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0});
    CHECK(write_same_16(0, 100, Unmap::yes, 4096).data_bytes == 4096);
    std::array<std::byte, kUnmapListBytes> list;
    const Cdb c = unmap(0x0102030405060708, 0x090a0b0c, list);
    CHECK(bytes_of(c) == V{0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0});
    CHECK(c.data_bytes == 24);
    CHECK(c.direction == Direction::out);
    const V expected{0, 22, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0};
    CHECK(std::memcmp(list.data(), expected.data(), expected.size()) == 0);
}

TEST_CASE("Reads and writes take the short form wherever it fits") {
    CHECK(bytes_of(read(0x01020304, 0x0506, 512)) == V{0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0});
    CHECK(bytes_of(write(7, 1, 4096)) == V{0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0});
    CHECK(write(7, 3, 4096).data_bytes == 12288);
    CHECK(bytes_of(read(0xffffffff, 0xffff, 512)).size() == 10);
    CHECK(bytes_of(read(u64{1} << 32, 1, 512)) == V{0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0});
    CHECK(bytes_of(write(0, 0x10000, 512)) == V{0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0});
    CHECK(read(0, 1, 512).direction == Direction::in);
    CHECK(write(0, 1, 512).direction == Direction::out);
}

TEST_CASE("INQUIRY data") {
    V v{0x00, 0x80, 5, 2, 31, 0, 0, 2};
    v = with_text(v, 8, "QEMU    QEMU HARDDISK   2.5+");
    const auto i = parse_inquiry(as_bytes(v));
    REQUIRE(i);
    CHECK(i->type == DeviceType::disk);
    CHECK(i->connected);
    CHECK(i->removable);
    CHECK(i->queueing);
    CHECK(i->version == 5);
    CHECK(i->vendor.view() == "QEMU");
    CHECK(i->product.view() == "QEMU HARDDISK");
    CHECK(i->revision.view() == "2.5+");
    v[0] = 0x20;
    CHECK_FALSE(parse_inquiry(as_bytes(v))->connected);
    v[0] = 0x7f;
    CHECK_FALSE(parse_inquiry(as_bytes(v))->connected);
    v[0] = 0x05, v[9] = 0x1b;  // an escape sequence does not reach the console
    CHECK(parse_inquiry(as_bytes(v))->type == DeviceType::cdrom);
    CHECK(parse_inquiry(as_bytes(v))->vendor.view() == "Q?MU");
    v[4] = 5;  // "there are ten bytes": then there is no product
    CHECK(parse_inquiry(as_bytes(v))->product.view().empty());
    for (usize n = 0; n < v.size(); ++n) CHECK(bool(parse_inquiry(as_bytes(v).first(n))) == (n >= 5));
}

TEST_CASE("VPD pages") {
    const auto pages = parse_vpd_supported(as_bytes({0, 0, 0, 5, 0x00, 0x80, 0x83, 0xb0, 0xb2}));
    REQUIRE(pages);
    CHECK(pages->has(VpdPage::serial));
    CHECK(pages->has(VpdPage::block_limits));
    CHECK_FALSE(pages->has(VpdPage::characteristics));
    CHECK(parse_vpd_supported(as_bytes({0, 0, 255, 255, 0x80}))->has(VpdPage::serial));
    CHECK(parse_vpd_supported(as_bytes({0, 0x83, 0, 1, 0x80})).error() == Error::corrupt);
    CHECK(parse_vpd_supported(as_bytes({0, 0, 0})).error() == Error::corrupt);
    CHECK(parse_vpd_serial(as_bytes({0, 0x80, 0, 6, ' ', 'a', 'b', 'c', ' ', 0}))->view() == "abc");
    CHECK(parse_vpd_serial(as_bytes(with_text({0, 0x80, 0, 200}, 4, std::string(200, 'x'))))->view().size() == 36);

    V b0(64);
    b0[1] = 0xb0, b0[3] = 60;
    b0 = put(put(put(put(put(put(b0, 8, 0x1000, 4), 20, 0x2000, 4), 24, 255, 4), 28, 8, 4), 32, 0x80000004, 4), 36,
             u64{1} << 33, 8);
    const auto limits = parse_vpd_block_limits(as_bytes(b0));
    REQUIRE(limits);
    CHECK(limits->max_transfer_blocks == 0x1000);
    CHECK(limits->max_unmap_blocks == 0x2000);
    CHECK(limits->max_unmap_ranges == 255);
    CHECK(limits->unmap_granularity == 8);
    CHECK(limits->unmap_alignment == 4);
    CHECK(limits->max_write_same_blocks == u64{1} << 33);
    b0[3] = 12;  // the short page of SBC-2 has no unmap limits
    CHECK(parse_vpd_block_limits(as_bytes(b0))->max_transfer_blocks == 0x1000);
    CHECK(parse_vpd_block_limits(as_bytes(b0))->max_unmap_blocks == 0);
    CHECK(parse_vpd_characteristics(as_bytes({0, 0xb1, 0, 60, 0, 1}))->rotation == 1);
    const auto p = parse_vpd_provisioning(as_bytes({0, 0xb2, 0, 4, 0, 0xe4, 2, 0}));
    REQUIRE(p);
    CHECK((p->unmap && p->write_same_16 && p->write_same_10 && p->reads_zeros && p->thin));
    CHECK_FALSE(parse_vpd_provisioning(as_bytes({0, 0xb2, 0, 4, 0, 0x40, 0, 0}))->unmap);
}

TEST_CASE("The identification page names the unit, not its port") {
    V v{0, 0x83, 0, 0};
    const auto add = [&](u8 set, u8 type, V id) {
        v.insert(v.end(), {set, type, 0, u8(id.size())});
        v.insert(v.end(), id.begin(), id.end());
        v[3] = u8(v.size() - 4);
    };
    add(2, 0x00, {'d', 'i', 's', 'k'});
    CHECK(parse_vpd_identification(as_bytes(v))->text.view() == "disk");
    add(1, 0x13, {0x50, 1, 2, 3, 4, 5, 6, 7});  // NAA of the port
    CHECK(parse_vpd_identification(as_bytes(v))->text.view() == "disk");
    add(1, 0x03, {0x60, 1, 2, 3, 4, 5, 6, 0xab});
    CHECK(parse_vpd_identification(as_bytes(v))->text.view() == "60010203040506ab");
    CHECK(parse_vpd_identification(as_bytes(v))->kind == 3);
    v[3] = 255;
    v.insert(v.end(), {1, 3, 0, 250, 1});  // reaches beyond the page
    CHECK(parse_vpd_identification(as_bytes(v))->text.view() == "60010203040506ab");
}

TEST_CASE("Capacities that can be, and those that cannot") {
    auto c = parse_capacity_10(as_bytes({0, 0, 0x07, 0xff, 0, 0, 2, 0}));
    REQUIRE(c);
    CHECK(c->blocks == 2048);
    CHECK(c->sectors() == 2048);
    CHECK(parse_capacity_10(as_bytes({0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0})).error() == Error::too_large);
    CHECK(parse_capacity_10(as_bytes({0, 0, 0, 1, 0, 0, 2})).error() == Error::corrupt);
    for (const u32 bad : {0u, 1u, 256u, 520u, 2352u, 131072u, 0xffffffffu})
        CHECK(parse_capacity_10(as_bytes(put({0, 0, 0, 9}, 4, bad, 4))).error() == Error::unsupported);
    V v(32);
    v = put(put(v, 0, 999, 8), 8, 4096, 4);
    v[13] = 3, v[14] = 0xc0;
    c = parse_capacity_16(as_bytes(v));
    REQUIRE(c);
    CHECK(c->blocks == 1000);
    CHECK(c->sectors() == 8000);
    CHECK(c->blocks_per_physical == 8);
    CHECK((c->provisioned && c->reads_zeros));
    CHECK(parse_capacity_16(as_bytes(v).first(12))->blocks == 1000);
    CHECK(parse_capacity_16(as_bytes(v).first(11)).error() == Error::corrupt);
    for (const u64 bad : {~u64{0}, ~u64{0} - 1, u64{1} << 60, u64{1} << 51})
        CHECK(parse_capacity_16(as_bytes(put(v, 0, bad, 8))).error() == Error::unsupported);
    CHECK(parse_capacity_16(as_bytes(put(v, 0, (u64{1} << 51) - 1, 8)))->sectors() == u64{1} << 54);
}

TEST_CASE("The caching page, with and without descriptors, in both lengths") {
    V six{0, 0, 0x80, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 0x12, 0x04, 0};
    six[0] = u8(six.size() - 1);
    auto m = parse_mode_sense_6(as_bytes(six));
    REQUIRE(m);
    CHECK(m->write_protected);
    CHECK(m->write_cache == true);
    six[14] = 0;
    CHECK(parse_mode_sense_6(as_bytes(six))->write_cache == false);
    six[3] = 255;  // descriptors beyond the answer
    CHECK_FALSE(parse_mode_sense_6(as_bytes(six))->write_cache);
    CHECK(parse_mode_sense_6(as_bytes({0, 0, 0})).error() == Error::corrupt);
    CHECK_FALSE(parse_mode_sense_6(as_bytes({3, 0, 0, 0}))->write_cache);
    V ten{0, 0, 0, 0x80, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0x48, 0x01, 0, 2, 4, 4, 0x08, 0x12, 0x04};
    ten[1] = u8(ten.size() - 2);
    m = parse_mode_sense_10(as_bytes(ten));
    REQUIRE(m);
    CHECK(m->write_protected);
    CHECK(m->write_cache == true);
    CHECK(parse_mode_sense_10(as_bytes(ten).first(7)).error() == Error::corrupt);
}

TEST_CASE("REPORT LUNS: sorted, each once, and nothing that is not a plain number") {
    V v(8);
    const auto add = [&](u16 a, u64 rest = 0) { v = put(put(v, v.size(), a, 2), v.size() + 2, rest, 6); };
    for (const u32 l : {0x4100, 0x0005, 0x0000, 0x0005, 0x4005, 0xc101, 0x8001, 0x0102, 0x7fff}) add(u16(l));
    add(0x0007, 1);  // a second level
    v = put(v, 0, v.size() - 8, 4);
    LunList list;
    REQUIRE(parse_report_luns(as_bytes(v), 16383, list));
    CHECK(std::vector<u16>(list.luns.begin(), list.luns.end()) == std::vector<u16>{0, 5, 0x100, 0x3fff});
    CHECK(list.ignored == 4);
    LunList few;
    REQUIRE(parse_report_luns(as_bytes(v), 7, few));
    CHECK(few.luns.size() == 2);
    LunList none;
    CHECK(parse_report_luns(as_bytes(v).first(7), 7, none).error() == Error::corrupt);
    LunList cut;
    REQUIRE(parse_report_luns(as_bytes(v).first(8 + 15), 16383, cut));
    CHECK(cut.luns.size() == 1);
    CHECK(cut.list_bytes == 80);
    V huge(8);
    v = put(huge, 0, 0xffffffff, 4);
    for (u16 l = 0; l < 300; ++l) add(u16(0x4000 + 299 - l));
    v = put(v, 0, 0xffffffff, 4);
    LunList full;
    REQUIRE(parse_report_luns(as_bytes(v), 16383, full));
    CHECK(full.luns.size() == 256);
    CHECK(full.ignored == 44);
}

namespace {

/// A unit that answers from a table: the command's first three bytes (code, flags, page).
struct Fake {
    std::map<std::array<u8, 3>, Result<V>> answers;
    std::vector<V> asked;
    V last;
    Result<Bytes> operator()(const Cdb& c) {
        asked.push_back(bytes_of(c));
        const auto found = answers.find({c.bytes[0], c.bytes[1], c.bytes[2]});
        if (found == answers.end()) return fail(Error::unsupported);
        if (!found->second) return fail(found->second.error());
        last = *found->second;
        last.resize(std::min(last.size(), usize{c.data_bytes}));
        return as_bytes(last);
    }
    Fake() {
        answers[{0x12, 0, 0}] = with_text({0, 0, 5, 2, 31, 0, 0, 2}, 8, "RINGLET DISK            1   ");
        answers[{0x12, 1, 0}] = V{0, 0, 0, 5, 0, 0x80, 0xb0, 0xb1, 0xb2};
        answers[{0x12, 1, 0x80}] = V{0, 0x80, 0, 2, 'S', '1'};
        V b0(64);
        b0[1] = 0xb0, b0[3] = 60;
        answers[{0x12, 1, 0xb0}] = put(put(b0, 20, 1000, 4), 24, 1, 4);
        answers[{0x12, 1, 0xb1}] = V{0, 0xb1, 0, 60, 0, 1};
        answers[{0x12, 1, 0xb2}] = V{0, 0xb2, 0, 4, 0, 0xe4, 2, 0};
        answers[{0x25, 0, 0}] = V{0, 0, 0x0f, 0xff, 0, 0, 2, 0};
        V c(32);
        c = put(put(c, 0, 4095, 8), 8, 512, 4);
        c[14] = 0xc0;
        answers[{0x9e, 0x10, 0}] = c;
        answers[{0x1a, 8, 8}] = V{6, 0, 0, 0, 8, 0x12, 4};
    }
};

}  // namespace

TEST_CASE("A thin disk is recognised, with the ways it can forget blocks") {
    Fake f;
    auto u = identify(f);
    REQUIRE(u);
    CHECK(u->serial.view() == "S1");
    CHECK(u->sectors() == 4096);
    CHECK(u->characteristics.rotation == 1);
    CHECK(u->write_cache);
    CHECK_FALSE(u->read_only());
    CHECK(u->unmap == UnmapWay::unmap);
    CHECK(u->max_unmap_blocks == 1000);
    CHECK(u->zero == ZeroWay::write_same_16);
    CHECK(u->max_zero_blocks == 4096);
    SECTION("no UNMAP limits: WRITE SAME does it") {
        f.answers[{0x12, 1, 0xb0}] = fail(Error::unsupported);
        REQUIRE(refresh(f, *u));
        CHECK(u->unmap == UnmapWay::write_same_16);
    }
    SECTION("only the short WRITE SAME") {
        f.answers[{0x12, 1, 0xb2}] = V{0, 0xb2, 0, 4, 0, 0x20, 2, 0};
        REQUIRE(refresh(f, *u));
        CHECK(u->unmap == UnmapWay::write_same_10);
        CHECK(u->zero == ZeroWay::write_same_10);
    }
    SECTION("not provisioned: nothing to unmap") {
        auto& c = f.answers[{0x9e, 0x10, 0}];
        (*c)[14] = 0;
        REQUIRE(refresh(f, *u));
        CHECK(u->unmap == UnmapWay::none);
        CHECK(u->max_unmap_blocks == 0);
    }
    SECTION("write protected: nothing at all, and no cache to flush") {
        f.answers[{0x1a, 8, 8}] = V{6, 0, 0x80, 0, 8, 0x12, 4};
        REQUIRE(refresh(f, *u));
        CHECK(u->read_only());
        CHECK(u->zero == ZeroWay::none);
        CHECK_FALSE(u->write_cache);
    }
    SECTION("no mode pages: flushes are sent, to be safe") {
        f.answers.erase({0x1a, 8, 8});
        REQUIRE(refresh(f, *u));
        CHECK(u->write_cache);
    }
    SECTION("the medium is gone") {
        f.answers[{0x25, 0, 0}] = fail(Error::not_found);
        CHECK(refresh(f, *u).error() == Error::not_found);
        CHECK(u->sectors() == 0);
        u->inquiry.removable = true;
        CHECK(refresh(f, *u));
        CHECK_FALSE(u->medium);
    }
    SECTION("the unit is gone") {
        f.answers[{0x12, 1, 0}] = fail(Error::device_broken);
        CHECK(refresh(f, *u).error() == Error::device_broken);
        CHECK(u->sectors() == 0);
    }
}

TEST_CASE("A CD-ROM knows few commands and is readable all the same") {
    Fake f;
    f.answers.clear();
    f.answers[{0x12, 0, 0}] = with_text({5, 0x80, 5, 2, 31, 0, 0, 0}, 8, "RINGLET CD              1   ");
    f.answers[{0x25, 0, 0}] = V{0, 0, 0, 99, 0, 0, 8, 0};
    const auto u = identify(f);
    REQUIRE(u);
    CHECK(u->read_only());
    CHECK(u->capacity.block_size == 2048);
    CHECK(u->sectors() == 400);
    CHECK_FALSE(u->write_cache);
    f.answers[{0x25, 0, 0}] = fail(Error::not_found);
    const auto empty = identify(f);
    REQUIRE(empty);
    CHECK_FALSE(empty->medium);
    CHECK(empty->sectors() == 0);
}

TEST_CASE("What is not a disk is left alone; an old disk is not asked for pages") {
    Fake f;
    f.answers[{0x12, 0, 0}] = V{0x01, 0, 5, 2, 31};
    CHECK(identify(f).error() == Error::unsupported);
    f.answers[{0x12, 0, 0}] = V{0x7f, 0, 5, 2, 31};
    CHECK(identify(f).error() == Error::not_found);
    f.asked.clear();
    f.answers[{0x12, 0, 0}] = V{0x00, 0, 2, 2, 31};
    CHECK(identify(f));
    for (const V& c : f.asked) CHECK((c[0] != 0x12 || c[1] == 0));
}

TEST_CASE("A disk beyond 2 TiB is measured by READ CAPACITY (16)") {
    Fake f;
    f.answers[{0x25, 0, 0}] = V{255, 255, 255, 255, 0, 0, 2, 0};
    V c(32);
    f.answers[{0x9e, 0x10, 0}] = put(put(c, 0, (u64{1} << 33) - 1, 8), 8, 512, 4);
    CHECK(identify(f)->sectors() == u64{1} << 33);
    f.answers.erase({0x9e, 0x10, 0});
    CHECK_FALSE(identify(f));
}

TEST_CASE("Random answers neither crash nor make a disk that cannot be") {
    std::mt19937 rng(20261122);
    u32 disks = 0;
    for (int round = 0; round < 20000; ++round) {
        V last;
        const auto run = [&](const Cdb& c) -> Result<Bytes> {
            if (rng() % 8 == 0) return fail(Error(rng() % 24));
            last.assign(rng() % (c.data_bytes + 1), 0);
            for (u8& b : last) b = rng() % 3 == 0 ? u8(rng()) : 0;
            if (c.op() == Op::inquiry && c.bytes[1] == 1 && last.size() > 1) last[1] = c.bytes[2];
            return as_bytes(last);
        };
        const auto u = identify(run);
        if (!u) continue;
        ++disks;
        REQUIRE(u->capacity.block_size >= 512);
        REQUIRE((u->capacity.block_size & (u->capacity.block_size - 1)) == 0);
        REQUIRE(u->sectors() <= u64{1} << 54);
        REQUIRE((u->max_unmap_blocks == 0) == (u->unmap == UnmapWay::none));
        REQUIRE((u->max_zero_blocks == 0) == (u->zero == ZeroWay::none));
    }
    CHECK(disks > 0);
}
