// A disk for tests: a file in memory, requests completed by another thread, out of order, with errors where
// wanted. It checks the submitter's half of the protocol: limits, addresses, one kick for everything that was
// submitted.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "arch/host.hpp"
#include "fs/block_device.hpp"

namespace ringlet::fs::test {

class FakeDisk final : public BlockDevice {
public:
    explicit FakeDisk(const std::string& path, u32 seed = 1) : random_(seed) {
        const int fd = ::open(path.c_str(), O_RDONLY);
        struct stat st = {};
        if (fd < 0 || ::fstat(fd, &st) != 0 || st.st_size == 0) std::abort();
        size_ = static_cast<usize>(st.st_size);
        void* p = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        ::close(fd);
        if (p == MAP_FAILED) std::abort();
        bytes_ = static_cast<std::byte*>(p);
        start();
    }
    /// Zeros.
    explicit FakeDisk(usize bytes, u32 seed = 1) : size_(bytes), random_(seed) {
        void* p = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) std::abort();
        bytes_ = static_cast<std::byte*>(p);
        start();
    }
    ~FakeDisk() override {
        {
            std::lock_guard lock(mutex_);
            stop_ = true;
        }
        changed_.notify_all();
        worker_.join();
        ::munmap(bytes_, size_);
    }

    std::string_view name() const override { return "vda"; }
    u64 sectors() const override { return size_ / kSectorSize; }
    bool read_only() const override { return !writable; }
    BlockLimits limits() const override { return limits_; }
    void submit(BlockRequest& r) override {
        std::lock_guard lock(mutex_);
        staged_.push_back(&r);
    }
    void flush_submissions() override {
        if (synchronous) {
            std::vector<BlockRequest*> now;
            {
                std::lock_guard lock(mutex_);
                now.swap(staged_);
                for (BlockRequest* r : now) complete(*r);
            }
            for (BlockRequest* r : now) r->done(*r);
            return;
        }
        {
            std::lock_guard lock(mutex_);
            if (!staged_.empty()) ++kicks;
            queue_.insert(queue_.end(), staged_.begin(), staged_.end());
            staged_.clear();
        }
        changed_.notify_all();
    }

    std::atomic<bool> synchronous{false};  ///< complete in flush_submissions(), for tests that only count
    MutableBytes bytes() { return {bytes_, size_}; }
    BlockLimits limits_{.block_size = 512,
                        .max_segments = 64,
                        .max_segment_bytes = 1 << 20,
                        .max_request_bytes = 1 << 20,
                        .max_discard_bytes = 64 << 10,
                        .max_write_zeroes_bytes = 64 << 10,
                        .max_secure_erase_bytes = 64 << 10};
    DmaAddr last_dma;
    std::atomic<bool> lost{false};  ///< given up without a confirmed reset: every request fails, its memory is gone
    std::atomic<u64> kicks{0}, requests{0}, bytes_read{0}, bytes_written{0}, largest{0}, flushes{0};
    bool writable = false, flush_fails = false;
    u64 cut_after = ~u64{0};  ///< after so many writes the power is off: everything fails
    void power_on() { writes_ = 0; }
    /// Requests that touch one of these sectors fail.
    void break_sector(u64 sector) {
        std::lock_guard lock(mutex_);
        broken_.insert(sector);
    }
    void repair() {
        std::lock_guard lock(mutex_);
        broken_.clear();
    }
    /// While held, nothing completes.
    void hold(bool on) {
        {
            std::lock_guard lock(mutex_);
            held_ = on;
        }
        changed_.notify_all();
    }

private:
    void start() {
        worker_ = std::thread([this] { work(); });
    }
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return stop_ || (!queue_.empty() && !held_); });
            if (queue_.empty() || held_) return;
            const usize pick = std::uniform_int_distribution<usize>(0, queue_.size() - 1)(random_);
            BlockRequest* const r = queue_[pick];
            queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(pick));
            complete(*r);
            lock.unlock();
            r->done(*r);
            lock.lock();
        }
    }
    void complete(BlockRequest& r) {
        ++requests;
        if (!r.data.empty()) last_dma = r.data[0].dma;
        if (lost) {
            r.error = Error::device_broken;
            r.quarantined = true;
            return;
        }
        if (r.op == BlockRequest::Op::write && writes_++ >= cut_after) {
            r.error = Error::io;
            return;
        }
        if (r.op == BlockRequest::Op::flush) {
            ++flushes;
            if (flush_fails) r.error = Error::io;
            return;
        }
        const bool write = r.op == BlockRequest::Op::write;
        u64 at = r.lba.raw * kSectorSize, total = 0;
        if (r.op > BlockRequest::Op::flush) {
            if (r.lba.raw > sectors() || r.sectors > sectors() - r.lba.raw || r.sectors == 0 || r.sectors > 128)
                r.error = Error::invalid;
            else
                std::memset(bytes_ + at, 0, r.sectors * kSectorSize);
            return;
        }
        for (const IoSegment& s : r.data) total += s.bytes.size();
        const bool fits = r.lba.raw <= sectors() && total <= size_ - at && total % limits_.block_size == 0 &&
                          at % limits_.block_size == 0 && r.data.size() <= limits_.max_segments &&
                          total <= limits_.max_request_bytes && total != 0 && (!write || writable);
        if (!fits) {
            r.error = Error::invalid;
            return;
        }
        if (total > largest) largest = total;
        const auto bad = broken_.lower_bound(r.lba.raw);
        if (bad != broken_.end() && *bad < r.lba.raw + total / kSectorSize) {
            r.error = Error::io;
            return;
        }
        for (const IoSegment& s : r.data) {
            std::byte* const p = arch::host::dma_to_pointer(s.dma, s.bytes.size());
            if (p != s.bytes.data() || s.bytes.size() > limits_.max_segment_bytes) std::abort();  // a real device
            if (write)
                std::memcpy(bytes_ + at, p, s.bytes.size());
            else
                std::memcpy(p, bytes_ + at, s.bytes.size());
            at += s.bytes.size();
        }
        (write ? bytes_written : bytes_read) += total;
    }

    std::byte* bytes_ = nullptr;
    usize size_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<BlockRequest*> staged_, queue_;
    std::set<u64> broken_;
    u64 writes_ = 0;
    bool stop_ = false, held_ = false;
    std::mt19937 random_;
    std::thread worker_;
};

}  // namespace ringlet::fs::test
