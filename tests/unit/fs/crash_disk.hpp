// A disk that remembers every write and flush, so that a test can ask what it holds after the power was cut anywhere.
#pragma once

#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <vector>

#include "fs/block_device.hpp"

namespace ringlet::fs::test {

/// Requests are served when they are submitted. After a cut, of the writes since the last completed flush any subset
/// may be on the medium, each whole or only some of its sectors.
class CrashDisk final : public BlockDevice {
public:
    enum class Trace : u8 { kept, none };
    explicit CrashDisk(std::vector<std::byte> content, Trace trace = Trace::kept) : now_(std::move(content)) {
        traced_ = trace == Trace::kept;
        if (traced_) start_ = now_;
    }

    std::string_view name() const override { return "vda"; }
    u64 sectors() const override { return now_.size() / kSectorSize; }
    bool read_only() const override { return false; }
    BlockLimits limits() const override { return {.max_segments = 64, .max_discard_bytes = max_discard_bytes}; }
    WriteCache write_cache() const override { return WriteCache::write_back; }
    u32 max_discard_bytes = 0;
    std::vector<std::pair<u64, u64>> discarded;           ///< first sector, how many
    std::function<void(const BlockRequest&)> on_request;  ///< called first, by whoever asks
    void submit(BlockRequest& r) override {
        if (on_request) on_request(r);
        {
            std::lock_guard lock(mutex_);
            serve(r);
        }
        r.done(r);
    }
    void flush_submissions() override {}

    usize events() {
        std::lock_guard lock(mutex_);
        return trace_.size();
    }
    /// What may be there when the power goes after `count` events. With `random` nullptr: exactly those, in order.
    std::vector<std::byte> after_cut(usize count, std::mt19937* random) {
        std::lock_guard lock(mutex_);
        std::vector<std::byte> image = start_;
        usize last_flush = 0;
        for (usize i = 0; i < count; ++i)
            if (trace_[i].data.empty()) last_flush = i;
        for (usize i = 0; i < count; ++i) {
            const Event& e = trace_[i];
            if (e.data.empty()) continue;
            if (i < last_flush || random == nullptr) {
                std::memcpy(image.data() + e.at, e.data.data(), e.data.size());
                continue;
            }
            const auto fate = (*random)() % 3;
            for (usize s = 0; fate != 0 && s < e.data.size(); s += kSectorSize)
                if (fate == 1 || (*random)() % 2 == 0)
                    std::memcpy(image.data() + e.at + s, e.data.data() + s, kSectorSize);
        }
        return image;
    }
    /// The cuts right after a write that begins at byte `at`.
    std::vector<usize> cuts_after_write(u64 at) {
        std::lock_guard lock(mutex_);
        std::vector<usize> cuts;
        for (usize i = 0; i < trace_.size(); ++i)
            if (!trace_[i].data.empty() && trace_[i].at == at) cuts.push_back(i + 1);
        return cuts;
    }
    /// From now on every request of this kind fails, after `left` good ones.
    void fail_writes(u64 left) { writes_left_ = left; }
    void fail_flushes() { flushes_fail_ = true; }

    /// What happens to one request.
    enum class Fault : u8 {
        refused,  ///< nothing is done: io
        cut,      ///< half of it is done: io
        late,     ///< all of it is done: timed_out
        lost,     ///< all of it is done, then the device is gone for ever and may still use the memory: device_broken
    };
    void fail_request(u64 number, Fault fault) {
        fail_at_ = number;
        fault_ = fault;
    }
    u64 requests() const { return requests_; }
    /// That of the request that failed.
    std::optional<BlockRequest::Op> failed_op;
    const std::vector<std::byte>& content() const { return now_; }

private:
    struct Event {
        u64 at = 0;
        std::vector<std::byte> data;  ///< empty: a flush
    };
    void serve(BlockRequest& r) {
        const u64 number = requests_++;
        if (gone_) {
            r.error = Error::device_broken;
            r.quarantined = true;
            return;
        }
        if (number != fail_at_) return serve(r, r.data);
        failed_op = r.op;
        if (fault_ == Fault::cut && !r.data.empty()) {
            std::vector<IoSegment> half(r.data.begin(), r.data.begin() + static_cast<long>((r.data.size() + 1) / 2));
            if (r.data.size() == 1) half[0].bytes = half[0].bytes.first(half[0].bytes.size() / 1024 * 512);
            serve(r, half);
        }
        if (fault_ == Fault::late || fault_ == Fault::lost) serve(r, r.data);
        r.error = fault_ == Fault::late ? Error::timed_out : fault_ == Fault::lost ? Error::device_broken : Error::io;
        gone_ = r.quarantined = fault_ == Fault::lost;
    }
    void serve(BlockRequest& r, std::span<const IoSegment> data) {
        if (r.op == BlockRequest::Op::flush) {
            if (flushes_fail_)
                r.error = Error::io;
            else if (traced_)
                trace_.push_back({});
            return;
        }
        if (r.op == BlockRequest::Op::discard) {
            discarded.emplace_back(r.lba.raw, r.sectors);
            return;
        }
        u64 at = r.lba.raw * kSectorSize;
        const bool write = r.op == BlockRequest::Op::write;
        if (write && writes_left_ == 0) {
            r.error = Error::io;
            return;
        }
        if (write && writes_left_ != ~u64{0}) --writes_left_;
        for (const IoSegment& s : data) {
            if (at > now_.size() || s.bytes.size() > now_.size() - at) {
                r.error = Error::invalid;
                return;
            }
            if (write) {
                if (traced_) trace_.push_back({at, {s.bytes.begin(), s.bytes.end()}});
                std::memcpy(now_.data() + at, s.bytes.data(), s.bytes.size());
            } else {
                std::memcpy(s.bytes.data(), now_.data() + at, s.bytes.size());
            }
            at += s.bytes.size();
        }
    }

    std::mutex mutex_;
    std::vector<std::byte> now_, start_;
    std::vector<Event> trace_;
    u64 writes_left_ = ~u64{0};
    bool flushes_fail_ = false, traced_ = true, gone_ = false;
    u64 requests_ = 0, fail_at_ = ~u64{0};
    Fault fault_ = Fault::refused;
};

inline std::vector<std::byte> read_image(const std::string& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    std::vector<std::byte> bytes(static_cast<usize>(in.tellg()));
    in.seekg(0);
    in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return bytes;
}

inline void write_image(const std::string& path, const std::vector<std::byte>& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace ringlet::fs::test
