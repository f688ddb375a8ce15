// Keys and values in memory, and a log of their changes in a file. A change is on the disk when set() or erase()
// returns.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

class Store {
public:
    static constexpr std::size_t kMaxKey = 1024, kMaxValue = 1 << 20;  ///< bytes

    /// Reads the log at `path`, or begins one. What a power cut left of the last record is cut off. Throws
    /// std::system_error: the file cannot be read or written.
    explicit Store(std::string path);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    std::optional<std::string> get(const std::string& key) const;
    /// Throw std::system_error; nothing has changed then, except after a failed fsync: from then on every change fails,
    /// since nobody knows what is on the disk. Keys and values within the limits above.
    void set(const std::string& key, const std::string& value);
    bool erase(const std::string& key);  ///< false: it was not there
    std::vector<std::string> keys() const;

    struct Facts {
        std::size_t keys, log_bytes, live_bytes, syncs, dropped_bytes;
    };
    Facts facts() const;

private:
    struct Header;
    void load();
    void append(const std::string& key, const std::string* value);
    void make_durable(std::unique_lock<std::mutex>& held);
    void compact();
    void count(const std::string& key, const std::string* value);

    const std::string path_;
    mutable std::mutex mutex_;
    std::condition_variable synced_;
    std::map<std::string, std::string> values_;
    int fd_ = -1;
    std::uint64_t log_bytes_ = 0, live_bytes_ = 0;
    std::uint64_t appended_ = 0, durable_ = 0;  ///< records so far, and how many of them are on the disk
    bool syncing_ = false, broken_ = false;
    std::size_t syncs_ = 0, dropped_ = 0;
};
