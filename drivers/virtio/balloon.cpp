// See balloon_store.hpp.
#include "drivers/virtio/balloon_store.hpp"

#include <algorithm>

#include "kernel/mm/pressure.hpp"

namespace ringlet::virtio {

using kernel::PageBlock;

bool BalloonStore::push(PageBlock block) {
    if (top_ == nullptr || top_->count == Page::kRecords) {
        Page* page = std::exchange(spare_, nullptr);
        if (page == nullptr) {
            const auto memory = kernel::take_largest_block(0);
            if (!memory) return false;
            page = reinterpret_cast<Page*>(memory->base.raw);
        }
        page->next = top_;
        page->count = 0;
        top_ = page;
    }
    top_->records[top_->count++] = block.base.raw | block.order;
    pages_ += block.pages();
    return true;
}

std::optional<PageBlock> BalloonStore::pop() {
    if (top_ == nullptr) return std::nullopt;
    const u64 record = top_->records[--top_->count];
    const PageBlock block{PhysAddr(record & ~u64{kPageSize - 1}), static_cast<unsigned>(record % kPageSize)};
    pages_ -= block.pages();
    if (top_->count == 0) {
        Page* const empty = std::exchange(top_, top_->next);
        if (spare_ != nullptr) kernel::free_pages(PhysAddr(reinterpret_cast<std::uintptr_t>(spare_)), 0);
        spare_ = empty;
    }
    return block;
}

bool BalloonStore::reserve() {
    if (!has_room()) {
        const auto memory = kernel::take_largest_block(0);
        if (!memory) return false;
        spare_ = reinterpret_cast<Page*>(memory->base.raw);
    }
    return reserved_ = true;
}

void BalloonStore::trim() {
    if (spare_ == nullptr || reserved_) return;
    kernel::free_pages(PhysAddr(reinterpret_cast<std::uintptr_t>(std::exchange(spare_, nullptr))), 0);
}

void BalloonStore::absorb(BalloonStore& other) {
    // A few records move one by one, so that many small batches do not leave as many pages.
    while (other.top_ != nullptr && other.top_->next == nullptr) {
        const auto block = other.pop();
        if (push(*block)) continue;
        (void)other.push(*block);
        break;
    }
    if (other.top_ == nullptr) return other.trim();
    Page* last = other.top_;
    while (last->next != nullptr) last = last->next;
    last->next = std::exchange(top_, std::exchange(other.top_, nullptr));
    pages_ += std::exchange(other.pages_, 0);
}

u64 BalloonStore::release(usize blocks) {
    u64 freed = 0;
    for (; blocks != 0; --blocks) {
        const auto block = pop();
        if (!block) break;
        kernel::free_pages(block->base, block->order);
        freed += block->pages();
    }
    if (pages_ == 0) trim();
    return freed;
}

u64 spare_pages(u64 floor_bytes) {
    const kernel::PageStats stats = kernel::page_stats();
    const u64 least = std::max(floor_bytes / kPageSize, stats.total_pages / 16);
    return stats.free_pages > least ? stats.free_pages - least : 0;
}

bool write_page_numbers(std::span<le32> to, PageBlock block) {
    u64 number = block.base.raw / BalloonSpec::kPageBytes;
    if (number + block.pages() > u64{1} << 32) return false;
    for (u64 i = 0; i < block.pages(); ++i) to[i] = static_cast<u32>(number++);
    return true;
}

void write_statistics(std::span<BalloonSpec::Stat, BalloonSpec::kStats> to) {
    const kernel::PageStats stats = kernel::page_stats();
    const u64 caches = kernel::reclaimable_pages();
    for (u16 tag = 0; tag < to.size(); ++tag) to[tag] = {.tag = tag, .val = u64{0}};  // nothing is swapped here
    to[BalloonSpec::kMemFree].val = stats.free_pages * kPageSize;
    to[BalloonSpec::kMemTotal].val = stats.total_pages * kPageSize;
    to[BalloonSpec::kAvailable].val = (stats.free_pages + caches) * kPageSize;
    to[BalloonSpec::kCaches].val = caches * kPageSize;
}

}  // namespace ringlet::virtio
