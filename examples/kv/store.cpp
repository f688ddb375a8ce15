#include "store.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

constexpr auto kCrcTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int k = 0; k < 8; ++k) c = (c >> 1) ^ ((c & 1) != 0 ? 0xEDB88320 : 0);
        table[i] = c;
    }
    return table;
}();

std::uint32_t crc32(std::uint32_t crc, const void* bytes, std::size_t n) {
    const auto* p = static_cast<const unsigned char*>(bytes);
    for (std::size_t i = 0; i < n; ++i) crc = (crc >> 8) ^ kCrcTable[(crc ^ p[i]) & 0xFF];
    return crc;
}

/// The directory of `path` is on the disk: a file that was made or renamed there stays.
void sync_folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == path.npos ? "." : path.substr(0, slash + 1);
    const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

}  // namespace

/// Before each record: the key follows, then the value. In the byte order of the machine: a log stays where it was
/// written.
struct Store::Header {
    static constexpr std::uint32_t kErased = ~0u;
    std::uint32_t crc;  ///< of the rest of the header, key and value
    std::uint32_t key_bytes;
    std::uint32_t value_bytes;  ///< kErased: there is none, the key is gone

    std::size_t value_size() const { return value_bytes == kErased ? 0 : value_bytes; }
    std::uint32_t check(const char* key, const char* value) const {
        const std::uint32_t of_key = crc32(crc32(~0u, &key_bytes, 8), key, key_bytes);
        return ~crc32(of_key, value, value_size());
    }
    static std::size_t record(const std::string& key, const std::string& value) {
        return sizeof(Header) + key.size() + value.size();
    }
};

Store::Store(std::string path) : path_(std::move(path)) {
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT, 0644);
    if (fd_ < 0) fail(path_.c_str());
    load();
    sync_folder_of(path_);
}

Store::~Store() {
    close(fd_);
}

void Store::load() {
    const off_t end = lseek(fd_, 0, SEEK_END);
    if (end < 0) fail("the log cannot be read");
    std::string body;
    off_t at = 0;
    for (Header h; end - at >= static_cast<off_t>(sizeof h);) {
        if (pread(fd_, &h, sizeof h, at) != static_cast<ssize_t>(sizeof h)) fail("the log cannot be read");
        const std::size_t n = h.key_bytes + h.value_size();
        if (h.key_bytes > kMaxKey || h.value_size() > kMaxValue || end - at < static_cast<off_t>(sizeof h + n)) break;
        body.resize(n);
        if (pread(fd_, body.data(), n, at + static_cast<off_t>(sizeof h)) != static_cast<ssize_t>(n))
            fail("the log cannot be read");
        if (h.check(body.data(), body.data() + h.key_bytes) != h.crc) break;
        const std::string key = body.substr(0, h.key_bytes), value = body.substr(h.key_bytes);
        count(key, h.value_bytes == Header::kErased ? nullptr : &value);
        at += static_cast<off_t>(sizeof h + n);
    }
    log_bytes_ = static_cast<std::uint64_t>(at);
    dropped_ = static_cast<std::size_t>(end - at);
    if (dropped_ != 0 && (ftruncate(fd_, at) != 0 || fsync(fd_) != 0)) fail("the end of the log cannot be cut off");
}

/// In memory: what is there, and how much of the log is about it.
void Store::count(const std::string& key, const std::string* value) {
    if (const auto old = values_.find(key); old != values_.end()) {
        live_bytes_ -= Header::record(key, old->second);
        values_.erase(old);
    }
    if (value == nullptr) return;
    live_bytes_ += Header::record(key, *value);
    values_.emplace(key, *value);
}

void Store::append(const std::string& key, const std::string* value) {
    if (broken_) throw std::system_error(EIO, std::generic_category(), "the log is broken");
    static const std::string nothing;
    const std::string& text = value != nullptr ? *value : nothing;
    Header h{0, static_cast<std::uint32_t>(key.size()),
             value != nullptr ? static_cast<std::uint32_t>(text.size()) : Header::kErased};
    h.crc = h.check(key.data(), text.data());
    std::string record(reinterpret_cast<const char*>(&h), sizeof h);
    record += key;
    record += text;
    const ssize_t n = pwrite(fd_, record.data(), record.size(), static_cast<off_t>(log_bytes_));
    if (n != static_cast<ssize_t>(record.size())) {
        if (n >= 0) errno = ENOSPC;
        fail("the log cannot be written");  // the next record goes over what was written of this one
    }
    log_bytes_ += record.size();
    ++appended_;
    count(key, value);
}

/// Until all that is in the log now is on the disk: one thread syncs, and the others that come meanwhile share the next
/// one.
void Store::make_durable(std::unique_lock<std::mutex>& held) {
    const std::uint64_t mine = appended_;
    while (durable_ < mine) {
        if (broken_) throw std::system_error(EIO, std::generic_category(), "the log cannot be synced");
        if (syncing_) {
            synced_.wait(held);
            continue;
        }
        syncing_ = true;
        const std::uint64_t covers = appended_;
        held.unlock();
        const bool good = fdatasync(fd_) == 0;
        held.lock();
        syncing_ = false;
        ++syncs_;
        if (good)
            durable_ = covers;
        else
            broken_ = true;
        synced_.notify_all();
    }
    if (log_bytes_ > 2 * live_bytes_ + (1 << 20) && !syncing_) compact();
}

/// A new log with what is live, which takes the old one's name when it is whole. Without room for it the old one goes
/// on.
void Store::compact() {
    const std::string fresh = path_ + ".new";
    const int fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return;
    const int old = std::exchange(fd_, fd);
    const std::uint64_t old_bytes = std::exchange(log_bytes_, 0), old_live = live_bytes_, old_appended = appended_;
    const auto values = std::move(values_);
    bool good = true;
    values_.clear();
    live_bytes_ = 0;
    try {
        for (const auto& [key, value] : values) append(key, &value);
    } catch (const std::system_error&) {
        good = false;
    }
    good = good && fsync(fd) == 0 && rename(fresh.c_str(), path_.c_str()) == 0;
    if (good) {
        durable_ = appended_;
        sync_folder_of(path_);
        close(old);
        return;
    }
    close(fd);
    unlink(fresh.c_str());
    fd_ = old;
    log_bytes_ = old_bytes;
    live_bytes_ = old_live;
    appended_ = old_appended;
    values_ = values;
}

std::optional<std::string> Store::get(const std::string& key) const {
    const std::lock_guard held(mutex_);
    const auto found = values_.find(key);
    if (found == values_.end()) return std::nullopt;
    return found->second;
}

void Store::set(const std::string& key, const std::string& value) {
    std::unique_lock held(mutex_);
    append(key, &value);
    make_durable(held);
}

bool Store::erase(const std::string& key) {
    std::unique_lock held(mutex_);
    if (!values_.contains(key)) return false;
    append(key, nullptr);
    make_durable(held);
    return true;
}

std::vector<std::string> Store::keys() const {
    const std::lock_guard held(mutex_);
    std::vector<std::string> all;
    for (const auto& [key, value] : values_) all.push_back(key);
    return all;
}

Store::Facts Store::facts() const {
    const std::lock_guard held(mutex_);
    return {values_.size(), log_bytes_, live_bytes_, syncs_, dropped_};
}
