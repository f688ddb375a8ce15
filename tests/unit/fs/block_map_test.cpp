// Block maps that grow and shrink, against a model.
#include <map>

#include "allocation.hpp"
#include "fs/ext4/block_map.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

struct Map {
    explicit Map(Allocation& a) : a(a) {}
    BlockMap map() { return BlockMap(*a.cache, *a.groups, a.geometry, root, 3000); }
    Result<> insert(const Mapping& m) {
        auto handle = a.journal->begin(BlockMap::kInsertCredits);
        REQUIRE(handle);
        auto b = map();
        const auto done = b.insert(*handle, m);
        nodes += b.nodes_added();
        for (u32 i = 0; done && i < m.length; ++i) model[m.logical + i] = m.physical + i;
        return done;
    }
    void cut(u64 before, u32 keep) {
        auto handle = a.journal->begin(BlockMap::kInsertCredits);
        auto b = map();
        const auto m = b.last_before(before);
        REQUIRE(m);
        const auto at = model.lower_bound(static_cast<u32>(std::min<u64>(before, ~u32{0})));
        REQUIRE(m->has_value() == (at != model.begin()));
        if (!*m) return;
        REQUIRE((*m)->end() - 1 == std::prev(at)->first);
        for (u32 i = 0; i < (*m)->length; ++i) REQUIRE(model.at((*m)->logical + i) == (*m)->physical + i);
        const u32 from = (*m)->logical + keep % (*m)->length;
        REQUIRE(b.cut_tail(*handle, **m, from));
        nodes += b.nodes_added();
        for (u64 l = from; l < (*m)->end(); ++l) model.erase(static_cast<u32>(l));
    }
    void check() {
        std::map<u32, u64> found;
        for (u64 before = ~u32{0}; before != 0;) {
            const auto m = map().last_before(before);
            REQUIRE(m);
            if (!*m) break;
            for (u32 i = 0; i < (*m)->length; ++i) found[(*m)->logical + i] = (*m)->physical + i;
            before = (*m)->logical;
        }
        REQUIRE(found == model);
    }
    Allocation& a;
    std::byte root[60] = {};
    std::map<u32, u64> model;
    i32 nodes = 0;
};

}  // namespace

TEST_CASE("block maps of all three levels") {
    for (const char* options : {"-t ext3 -b 1024", "-t ext2 -b 2048"}) {
        const Scratch s;
        std::mt19937 random(2);
        CrashDisk disk(image_of(s, options, "64M"));
        Allocation a(disk);
        const u64 free_blocks = a.groups->free_blocks();
        Map m(a);
        const u32 per = a.geometry.block_size / 4;
        const u32 borders[] = {0, 11, 12, 12 + per - 1, 12 + per, 12 + per + per * per - 1, 12 + per + per * per};
        for (int i = 0; i < 1500; ++i) {
            if (random() % 3 != 0) {
                const u32 logical = borders[random() % std::size(borders)] + random() % 200;
                u32 length = 0;
                while (length < 1 + random() % 20 && !m.model.contains(logical + length)) ++length;
                if (length != 0) REQUIRE(m.insert({logical, length, 2 + random() % 30000, false}));
            } else {
                m.cut(borders[random() % std::size(borders)] + random() % 200, random());
            }
            if (i % 100 == 0) m.check();
        }
        m.check();
        CHECK(m.nodes > 5);
        REQUIRE(a.journal->commit_all());
        while (!m.model.empty()) m.cut(~u32{0}, 0);
        CHECK(m.nodes == 0);
        CHECK(a.groups->free_blocks() == free_blocks);
        CHECK(m.insert({~u32{0} - 5, 1, 5000, false}).has_value() == false);
        REQUIRE(a.journal->close());
    }
}

TEST_CASE("without room for its tables a map stays as it was") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-t ext2 -b 1024", "2M"));
    Allocation a(disk, 1 << 20);
    // All but `left` blocks are taken.
    for (u32 left = 0; left < 4; ++left) {
        std::vector<BlockRange> ranges;
        while (a.groups->free_blocks() > left) {
            auto handle = a.journal->begin(16);
            const auto got = a.groups->allocate(*handle, 100, static_cast<u32>(a.groups->free_blocks() - left));
            REQUIRE(got);
            ranges.push_back(*got);
        }
        Map m(a);
        const auto done = m.insert({12 + 256 + 65536, 3, 500, false});  // three tables
        CHECK(done.has_value() == (left >= 3));
        if (!done) {
            CHECK(done.error() == Error::no_space);
            CHECK(m.nodes == 0);
            CHECK(std::all_of(m.root, m.root + 60, [](std::byte b) { return b == std::byte{0}; }));
        } else {
            while (!m.model.empty()) m.cut(~u32{0}, 0);
        }
        for (const BlockRange& r : ranges) {
            auto handle = a.journal->begin(16);
            REQUIRE(a.groups->release(*handle, r));
        }
        REQUIRE(a.journal->commit_all());
    }
    a.cache->discard_changes();
}
