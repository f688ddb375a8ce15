// Which blocks of pages the host has: a stack of records in pages of its own, so that giving blocks back needs no
// memory. Also the arithmetic of the balloon that does not depend on its configuration. Context: the owner's lock.
#pragma once

#include <span>

#include "drivers/virtio/spec/balloon.hpp"
#include "kernel/mm/page_allocator.hpp"
#include "lib/bytes.hpp"

namespace ringlet::virtio {

class BalloonStore {
public:
    BalloonStore() = default;
    BalloonStore(const BalloonStore&) = delete;
    BalloonStore& operator=(const BalloonStore&) = delete;

    /// False: no page for another record; `block` is still the caller's. Never fails right after a pop().
    [[nodiscard]] bool push(kernel::PageBlock block);
    std::optional<kernel::PageBlock> pop();
    /// All of `other`, in constant time when there is much of it.
    void absorb(BalloonStore& other);
    /// Back to the page allocator: at most `blocks` of them; says how many pages.
    u64 release(usize blocks);
    u64 pages() const { return pages_; }
    bool empty() const { return pages_ == 0; }
    /// From now on an empty store has room for some hundred blocks without allocating. False: no memory for that.
    bool reserve();
    /// push() would not need memory.
    bool has_room() const { return spare_ != nullptr || (top_ != nullptr && top_->count != Page::kRecords); }
    /// Gives back the page that is kept for the next record, unless it is reserved.
    void trim();
    void unreserve() {
        reserved_ = false;
        trim();
    }

private:
    struct Page {
        static constexpr usize kRecords = kPageSize / 8 - 2;
        Page* next;
        u64 count;
        u64 records[kRecords];  ///< address | order
    };
    static_assert(sizeof(Page) == kPageSize);
    Page* top_ = nullptr;
    Page* spare_ = nullptr;  ///< one empty page is kept: a push() after a pop() finds it
    u64 pages_ = 0;
    bool reserved_ = false;
};

/// Free pages that may be lent: what is above the floor of `floor_bytes`, or of a sixteenth of all memory.
u64 spare_pages(u64 floor_bytes);
/// Writes the numbers of the block's pages; false: they do not fit into 32 bits.
bool write_page_numbers(std::span<le32> to, kernel::PageBlock block);
/// §5.5.6.3: fills in all statistics.
void write_statistics(std::span<BalloonSpec::Stat, BalloonSpec::kStats> to);

}  // namespace ringlet::virtio
