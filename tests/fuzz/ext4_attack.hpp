// A hostile ext4 image and somebody who works on it: mount so that it can be written, change and read what is there,
// sync, unmount, mount again. Errors are fine; faults, asserts and endless loops are not. For libFuzzer and for a unit
// test.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "fs/ext4/ext4.hpp"

namespace ringlet::fuzz {

/// A disk in memory.
class MemoryDisk final : public fs::BlockDevice {
public:
    explicit MemoryDisk(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
    std::string_view name() const override { return "vda"; }
    u64 sectors() const override { return bytes_.size() / fs::kSectorSize; }
    bool read_only() const override { return false; }
    fs::BlockLimits limits() const override { return {.max_segments = 64, .max_discard_bytes = 1 << 20}; }
    fs::WriteCache write_cache() const override { return fs::WriteCache::write_back; }
    void submit(fs::BlockRequest& r) override {
        u64 at = r.lba.raw * fs::kSectorSize;
        for (const fs::IoSegment& s : r.data) {
            if (at > bytes_.size() || s.bytes.size() > bytes_.size() - at) {
                r.error = Error::invalid;
                break;
            }
            if (r.op == fs::BlockRequest::Op::write)
                std::memcpy(bytes_.data() + at, s.bytes.data(), s.bytes.size());
            else
                std::memcpy(s.bytes.data(), bytes_.data() + at, s.bytes.size());
            at += s.bytes.size();
        }
        r.done(r);
    }
    void flush_submissions() override {}

private:
    std::vector<std::byte> bytes_;
};

/// Numbers from the input, then from what a generator makes of it.
class Choices {
public:
    explicit Choices(std::span<const u8> input) : input_(input) {}
    u32 next(u32 below) {
        if (!input_.empty()) {
            state_ = state_ * 31 + input_[0] + 1;
            input_ = input_.subspan(1);
        }
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<u32>((state_ >> 33) % below);
    }

private:
    std::span<const u8> input_;
    u64 state_ = 1;
};

class Attack {
public:
    Attack(fs::BlockDevice& disk, Choices& choices) : disk_(disk), choices_(choices) {}
    void run(int steps) {
        fs::MountText why;
        auto mounted = fs::mount_ext4(disk_, {.cache_bytes = 256 << 10, .inode_cache = 8, .writable = true}, why);
        if (!mounted) return;
        fs_ = mounted->get();
        for (int i = 0; i < steps; ++i) step();
        (void)fs_->sync();
        (void)fs_->trim(4096);
        (void)fs_->statfs();
    }

private:
    using Node = fs::Ref<fs::Inode>;
    /// Something that is there, or the root.
    Node pick() {
        auto root = fs_->root();
        if (!root) return {};
        Node at = *root;
        for (u32 depth = choices_.next(5); depth != 0 && at->type() == fs::NodeType::directory; --depth) {
            fs::DirEntry e;
            Node found;
            u64 cookie = 0;
            for (u32 skip = choices_.next(12), n = 0; n <= skip; ++n) {
                const auto more = at->next_entry(cookie, e);
                if (!more || !*more) break;
                auto child = at->lookup(e.name());
                if (child) found = std::move(*child);
            }
            if (!found) break;
            at = std::move(found);
        }
        return at;
    }
    std::string name() {
        const u32 n = choices_.next(12);
        return std::string(1 + (n % 4 == 0 ? n * 18 : 0), static_cast<char>('a' + n));
    }
    void step() {
        Node at = pick(), other = choices_.next(3) == 0 ? pick() : at;
        if (!at || !other) return;
        const u64 offset = u64{choices_.next(60'000)} << (choices_.next(8) == 0 ? choices_.next(30) : 0);
        const u64 length = 1 + choices_.next(20'000);
        switch (choices_.next(14)) {
        case 0:
            (void)at->create(name(), fs::NodeType::file, 0644);
            return;
        case 1:
            (void)at->create(name(), fs::NodeType::directory, 0755);
            return;
        case 2:
            (void)at->create_symlink(name(), std::string(1 + choices_.next(300), 't'));
            return;
        case 3:
            (void)at->link(name(), *other);
            return;
        case 4:
            (void)at->unlink(name());
            return;
        case 5:
            (void)at->remove_directory(name());
            return;
        case 6:
            (void)at->rename(name(), *other, name());
            return;
        case 7:
            (void)at->truncate(offset);
            return;
        case 8:
            (void)at->allocate(offset, length, true);
            return;
        case 9:
            (void)at->punch(offset, length);
            return;
        case 10:
            (void)at->set_attributes({.mode = 0600});
            return;
        case 11:
            (void)at->sync(fs::Sync::all);
            return;
        case 12:
            buffer_.resize(length);
            (void)at->read_at(offset, buffer_, nullptr);
            return;
        default:
            buffer_.assign(length, std::byte{7});
            (void)at->write_at(offset, buffer_);
            return;
        }
    }

    fs::BlockDevice& disk_;
    Choices& choices_;
    fs::FileSystem* fs_ = nullptr;
    std::vector<std::byte> buffer_;
};

/// Changes `image` as `input` says, works on it, and mounts what is left once more.
inline void attack_ext4(std::vector<std::byte> image, std::span<const u8> input, int steps) {
    Choices choices(input);
    for (u32 n = choices.next(24); n != 0; --n) {
        // Metadata is at the front of the group, mostly.
        const usize block =
            choices.next(2) == 0 ? choices.next(80) : choices.next(static_cast<u32>(image.size() / 1024));
        const usize at = block * 1024 + choices.next(choices.next(3) == 0 ? 1024 : 128);
        static constexpr u32 kValues[] = {0, 1, 2, 0xff, 0x7fff, 0x8000, 0xffff, 0xffff'ffff, 0x8000'0000, 0xf30a};
        const u32 value = choices.next(3) == 0 ? kValues[choices.next(10)] : choices.next(2048);
        const usize width = 1u << choices.next(3);
        if (at + width <= image.size()) std::memcpy(image.data() + at, &value, width);
    }
    MemoryDisk disk(std::move(image));
    for (int i = 0; i < 2; ++i) {
        Attack attack(disk, choices);
        attack.run(steps);
    }
}

}  // namespace ringlet::fuzz
