#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "fs/rw_lock.hpp"

using namespace ringlet;
using namespace ringlet::fs;

TEST_CASE("a writer is alone, readers are not", "[threads]") {
    RwLock lock;
    std::atomic<int> readers{0}, writers{0}, most{0};
    std::atomic<bool> wrong{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 2000; ++i) {
                if (t < 2) {
                    const RwLock::Exclusive held(lock);
                    if (++writers != 1 || readers != 0) wrong = true;
                    --writers;
                } else {
                    const RwLock::Shared held(lock);
                    const int now = ++readers;
                    if (now > most) most = now;
                    if (writers != 0) wrong = true;
                    if (i % 16 == 0) std::this_thread::yield();
                    --readers;
                }
            }
        });
    for (auto& t : threads) t.join();
    CHECK(!wrong);
    CHECK(most > 1);
}

// No atomics here: ThreadSanitizer must see nothing but the lock between the threads.
TEST_CASE("what a writer wrote is what readers read, in plain memory", "[threads]") {
    constexpr int kRounds = 3000;
    RwLock lock;
    int written[2] = {};
    bool torn[4] = {};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < kRounds; ++i) {
                const RwLock::Exclusive held(lock);
                ++written[0], ++written[1];
            }
        });
    for (bool& mine : torn)
        threads.emplace_back([&] {
            for (int i = 0; i < kRounds; ++i) {
                const RwLock::Shared held(lock);
                mine |= written[0] != written[1];
            }
        });
    for (auto& t : threads) t.join();
    CHECK(written[0] == 2 * kRounds);
    for (const bool any : torn) CHECK(!any);
}

TEST_CASE("a waiting writer goes before readers that come later", "[threads]") {
    RwLock lock;
    std::atomic<int> order{0}, writer_at{0}, reader_at{0};
    std::thread writer, reader;
    {
        const RwLock::Shared held(lock);
        writer = std::thread([&] {
            const RwLock::Exclusive mine(lock);
            writer_at = ++order;
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        reader = std::thread([&] {
            const RwLock::Shared mine(lock);
            reader_at = ++order;
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        CHECK(order == 0);
    }
    writer.join();
    reader.join();
    CHECK(writer_at == 1);
    CHECK(reader_at == 2);
}
