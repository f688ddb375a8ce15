// Extent trees that grow and shrink, against a model: what is mapped where, and the shape that e2fsck asks for.
#include <map>

#include "allocation.hpp"
#include "fs/ext4/extent_tree.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

constexpr u32 kSeed = 0x1234;

struct Tree {
    explicit Tree(Allocation& a) : a(a) { ExtentTree::make(root); }
    ExtentTree tree() { return ExtentTree(*a.cache, *a.groups, a.geometry, root, kSeed, 2000); }

    void insert(const Mapping& m) {
        auto handle = a.journal->begin(20);
        REQUIRE(handle);
        auto t = tree();
        REQUIRE(t.insert(*handle, m));
        nodes += t.nodes_added();
        for (u64 i = 0; i < m.length; ++i) model[static_cast<u32>(m.logical + i)] = {m.physical + i, m.unwritten};
    }
    /// Takes out of the last mapping before `before` what lies behind `keep` blocks of it, or the first `keep`.
    void cut(u64 before, u32 keep, bool head) {
        auto handle = a.journal->begin(20);
        auto t = tree();
        const auto m = t.last_before(before);
        REQUIRE(m);
        if (!*m) return;
        keep %= (*m)->length;
        const u32 border = (*m)->logical + keep;
        if (head && keep == 0) return;
        REQUIRE((head ? t.cut_head(*handle, **m, border) : t.cut_tail(*handle, **m, border)));
        nodes += t.nodes_added();
        for (u64 l = (*m)->logical; l < (*m)->end(); ++l)
            if (head == (l < border)) REQUIRE(model.erase(static_cast<u32>(l)) == 1);
    }
    /// Walks all nodes: order, keys, bounds, checksums; the mappings are the model's.
    void check() {
        std::map<u32, std::pair<u64, bool>> found;
        i32 seen = 0;
        const auto walk = [&](auto& self, Bytes node, unsigned depth, bool is_root) -> u32 {
            const auto h = *read_at<ExtentHeader>(node, 0);
            REQUIRE((h.magic == kExtentMagic && h.depth == depth && h.entries <= h.max));
            REQUIRE((is_root || h.entries != 0));
            u32 first = 0;
            u64 last = 0;
            for (u32 i = 0; i < h.entries; ++i) {
                const auto e = *read_at<Extent>(node, 12 + i * 12);
                if (i == 0) first = e.block;
                REQUIRE((i == 0 || e.block >= last));
                if (depth == 0) {
                    const bool unwritten = e.len > kUnwrittenBias;
                    const u32 length = unwritten ? e.len - kUnwrittenBias : u32{e.len};
                    for (u32 n = 0; n < length; ++n)
                        REQUIRE(found.emplace(e.block + n, std::pair(u64{e.start_lo} + n, unwritten)).second);
                    last = u64{e.block} + length;
                    continue;
                }
                const auto x = *read_at<ExtentIndex>(node, 12 + i * 12);
                ++seen;
                std::vector<std::byte> copy;
                {
                    const auto block = a.cache->get(BlockNo(x.leaf_lo));
                    REQUIRE(block);
                    copy.assign(block->bytes().begin(), block->bytes().end());
                }
                REQUIRE(self(self, copy, depth - 1, false) == x.block);
                last = u64{x.block} + 1;
            }
            return first;
        };
        const u16 depth = read_at<ExtentHeader>(root, 0)->depth;
        deepest = std::max<unsigned>(deepest, depth);
        (void)walk(walk, root, depth, true);
        REQUIRE(found == model);
        REQUIRE(seen == nodes);
    }

    Allocation& a;
    std::byte root[60] = {};
    std::map<u32, std::pair<u64, bool>> model;
    i32 nodes = 0;
    unsigned deepest = 0;
};

}  // namespace

TEST_CASE("a file that grows at its end has one extent, however it is written") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "16M"));
    Allocation a(disk);
    Tree t(a);
    for (u32 i = 0; i < 100; ++i) t.insert({i * 7, 7, 5000 + i * 7, false});
    t.check();
    CHECK(read_at<ExtentHeader>(t.root, 0)->entries == 1);
    // A hole that is filled joins both sides.
    t.cut(350, 3, false);
    t.check();
    t.insert({3, 347, 5003, false});
    t.check();
    a.cache->discard_changes();
}

TEST_CASE("written and unwritten blocks stay apart, and so do extents that would be too long") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "80M"));
    Allocation a(disk);
    Tree t(a);
    t.insert({0, 10, 3000, false});
    t.insert({10, 10, 3010, true});
    t.insert({20, 32767, 3020, true});
    t.insert({40000, 32768, 40000, false});
    t.insert({72768, 1, 72768, false});
    t.check();
    // Two of them do not fit the root beside the others.
    CHECK(read_at<ExtentHeader>(t.root, 0)->depth == 1);
    a.cache->discard_changes();
}

TEST_CASE("a thousand splits and removals leave the tree that the model has") {
    for (u32 seed = 1; seed <= 2; ++seed) {
        const Scratch s;
        std::mt19937 random(seed);
        CrashDisk disk(image_of(s, seed % 2 == 0 ? "-b 1024" : "-b 1024 -O ^metadata_csum", "64M"));
        Allocation a(disk);
        const u64 free_blocks = a.groups->free_blocks();
        Tree t(a);
        for (int i = 0; i < 3500; ++i) {
            const bool growing = i < 2500;
            if (random() % 8 < (growing ? 6u : 2u)) {
                // Mostly in no order, so that nothing merges; sometimes at the end.
                const u32 logical = random() % 4 == 0 && !t.model.empty() ? t.model.rbegin()->first + 1 + random() % 2
                                                                          : random() % 60000;
                u32 length = 0;
                while (length < 1 + random() % 4 && !t.model.contains(logical + length)) ++length;
                if (length != 0) t.insert({logical, length, 2 + random() % 60000, random() % 5 == 0});
            } else {
                t.cut(random() % 60000, random(), random() % 2 == 0);
            }
            if (i % 500 == 0) t.check();
        }
        t.check();
        CHECK(t.deepest >= 2);
        REQUIRE(a.journal->commit_all());
        while (!t.model.empty()) t.cut(~0u, 0, false);
        t.check();
        CHECK(read_at<ExtentHeader>(t.root, 0)->depth == 0);
        CHECK(t.nodes == 0);
        CHECK(a.groups->free_blocks() == free_blocks);
        REQUIRE(a.journal->close());
    }
}

TEST_CASE("pieces at the end leave nodes with room for one more, in every level") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "64M"));
    Allocation a(disk);
    Tree t(a);
    constexpr u32 kPerNode = (1024 - 16) / 12, kPieces = (kPerNode + 2) * kPerNode;  // a second node above the leaves
    for (u32 i = 0; i < kPieces; ++i) t.insert({2 * i, 1, 10'000 + i, false});
    t.check();
    CHECK(t.deepest == 2);
    CHECK(t.nodes == kPieces / (kPerNode - 1) + 3);
    a.cache->discard_changes();
}

TEST_CASE("nodes read back from the disk have the right checksums") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "16M"));
    Allocation a(disk);
    Tree t(a);
    for (u32 i = 0; i < 500; ++i) t.insert({i * 2, 1, 100 + i * 5, false});
    REQUIRE(a.journal->close());
    a.cache = *BlockCache::create(disk, 1024, 1 << 20);
    const auto tree = ExtentTree(*a.cache, *a.groups, a.geometry, t.root, kSeed, 2000);
    const u64 child = read_at<ExtentIndex>(t.root, 12)->leaf_lo;
    CHECK(read_extent_node(*a.cache, a.geometry, kSeed, child));
    a.cache = *BlockCache::create(disk, 1024, 1 << 20);
    CHECK(read_extent_node(*a.cache, a.geometry, kSeed + 1, child).error() == Error::corrupt);
}

TEST_CASE("lying trees are errors") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "16M"));
    Allocation a(disk);
    std::mt19937 random(3);
    for (int i = 0; i < 800; ++i) {
        Tree t(a);
        for (u32 n = 0; n < 4; ++n) t.insert({n * 10, 5, 2000 + n * 50, false});
        for (u32 n = random() % 6 + 1; n > 0; --n) t.root[random() % 60] = std::byte(random());
        auto handle = a.journal->begin(20);
        auto tree = t.tree();
        (void)tree.insert(*handle, {random() % 64, 1 + random() % 9, 4000, false});
        const auto m = tree.last_before(random() % 64);
        if (m && *m) (void)tree.cut_tail(*handle, **m, (*m)->logical);
    }
    a.cache->discard_changes();
}
