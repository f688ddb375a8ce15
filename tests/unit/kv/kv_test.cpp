// The key-value example: its log through torn ends and compaction, its protocol in any pieces.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "commands.hpp"
#include "resp.hpp"
#include "store.hpp"

namespace fs = std::filesystem;

namespace {

class Scratch {
public:
    Scratch() {
        char name[] = "/tmp/ringlet-kv-XXXXXX";
        if (::mkdtemp(name) == nullptr) std::abort();
        folder_ = name;
    }
    ~Scratch() { fs::remove_all(folder_); }
    std::string log() const { return folder_ / "log"; }

private:
    fs::path folder_;
};

std::string bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("kv: what was set is there after a restart, and what was erased is not") {
    const Scratch scratch;
    {
        Store store(scratch.log());
        store.set("a", "1");
        store.set("b", std::string(100'000, 'x'));
        store.set("a", "2");
        store.set("", "empty key");
        store.set("c", "");
        CHECK(store.erase("b"));
        CHECK_FALSE(store.erase("b"));
    }
    Store store(scratch.log());
    CHECK(store.get("a") == "2");
    CHECK(store.get("") == "empty key");
    CHECK(store.get("c") == "");
    CHECK_FALSE(store.get("b"));
    CHECK(store.keys() == std::vector<std::string>{"", "a", "c"});
    CHECK(store.facts().dropped_bytes == 0);
}

TEST_CASE("kv: a log cut anywhere keeps every whole record, and goes on") {
    const Scratch scratch;
    std::vector<std::size_t> ends;
    {
        Store store(scratch.log());
        for (int i = 0; i < 6; ++i) {
            store.set("key" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 5, 'v'));
            ends.push_back(fs::file_size(scratch.log()));
        }
    }
    const std::string whole = bytes_of(scratch.log());
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        write(scratch.log(), whole.substr(0, cut));
        const auto kept =
            static_cast<std::size_t>(std::ranges::count_if(ends, [&](std::size_t end) { return end <= cut; }));
        {
            Store store(scratch.log());
            REQUIRE(store.facts().keys == kept);
            REQUIRE(store.facts().dropped_bytes == cut - (kept == 0 ? 0 : ends[kept - 1]));
            store.set("after", "the cut");
        }
        Store again(scratch.log());
        REQUIRE(again.facts().keys == kept + 1);
        REQUIRE(again.get("after") == "the cut");
    }
}

TEST_CASE("kv: a changed byte is never taken for data") {
    const Scratch scratch;
    {
        Store store(scratch.log());
        store.set("first", "one");
        store.set("second", "two");
    }
    const std::string whole = bytes_of(scratch.log());
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
        write(scratch.log(), damaged);
        const Store store(scratch.log());
        for (const std::string& key : store.keys())
            REQUIRE(store.get(key) == (key == "first" ? "one" : key == "second" ? "two" : "never set"));
        REQUIRE(store.facts().dropped_bytes > 0);
    }
}

TEST_CASE("kv: a log that is mostly old is written anew") {
    const Scratch scratch;
    std::size_t largest = 0;
    {
        Store store(scratch.log());
        store.set("stays", "here");
        for (int i = 0; i < 100; ++i) {
            store.set("big", std::string(65536, static_cast<char>('a' + i % 26)));
            largest = std::max<std::size_t>(largest, fs::file_size(scratch.log()));
        }
    }
    CHECK(largest < 1'400'000);
    CHECK_FALSE(fs::exists(scratch.log() + ".new"));
    Store store(scratch.log());
    CHECK(store.get("stays") == "here");
    CHECK(store.get("big") == std::string(65536, 'a' + 99 % 26));
}

TEST_CASE("kv: many threads at once") {
    const Scratch scratch;
    {
        Store store(scratch.log());
        std::vector<std::thread> all;
        for (int t = 0; t < 8; ++t)
            all.emplace_back([&store, t] {
                for (int i = 0; i < 200; ++i)
                    store.set(std::to_string(t) + "." + std::to_string(i), std::string(2000, 'v'));
                for (int i = 0; i < 200; i += 2) store.erase(std::to_string(t) + "." + std::to_string(i));
            });
        for (std::thread& thread : all) thread.join();
        CHECK(store.facts().keys == 800);
    }
    const Store store(scratch.log());
    CHECK(store.facts().keys == 800);
    CHECK(store.facts().dropped_bytes == 0);
}

TEST_CASE("kv: commands in any pieces") {
    const std::string stream =
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nPING  hi\r\n\r\n*0\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n";
    const std::vector<std::vector<std::string>> expected{{"SET", "k", "a\r\nb"}, {"PING", "hi"}, {"GET", ""}};
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
        CommandReader reader;
        std::vector<std::vector<std::string>> got;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            reader.feed(std::string_view(stream).substr(at, piece));
            while (auto words = reader.next()) got.push_back(*words);
        }
        REQUIRE(got == expected);
    }
}

TEST_CASE("kv: what is no command is refused, at once and with bounds") {
    for (const char* bad : {"*x\r\n", "*-1\r\n", "*1025\r\n", "*1\r\n:1\r\n", "*1\r\n$-1\r\n", "*1\r\n$1048577\r\n",
                            "*1\r\n$1\r\nabc", "*1\r\n$1 \r\na\r\n"}) {
        INFO(bad);
        CommandReader reader;
        reader.feed(bad);
        CHECK_THROWS_AS(reader.next(), ProtocolError);
    }
    CommandReader endless;
    endless.feed(std::string(CommandReader::kMaxLine + 1, 'x'));
    CHECK_THROWS_AS(endless.next(), ProtocolError);
    CommandReader large;
    large.feed("*3\r\n$1048576\r\n" + std::string(1 << 20, 'a') + "\r\n$1048576\r\n" + std::string(1 << 20, 'b') +
               "\r\n$1\r\n");
    CHECK_THROWS_AS(large.next(), ProtocolError);
}

TEST_CASE("kv: answers") {
    const Scratch scratch;
    Store store(scratch.log());
    CHECK(answer(store, {"set", "a", "1"}) == "+OK\r\n");
    CHECK(answer(store, {"GET", "a"}) == "$1\r\n1\r\n");
    CHECK(answer(store, {"GET", "b"}) == "$-1\r\n");
    CHECK(answer(store, {"EXISTS", "a", "b", "a"}) == ":2\r\n");
    CHECK(answer(store, {"KEYS", "*"}) == "*1\r\n$1\r\na\r\n");
    CHECK(answer(store, {"DEL", "a", "b"}) == ":1\r\n");
    CHECK(answer(store, {"DBSIZE"}) == ":0\r\n");
    CHECK(answer(store, {"SET", "a"}).starts_with("-ERR wrong number"));
    CHECK(answer(store, {"NOPE"}).starts_with("-ERR unknown command 'NOPE'"));
    CHECK(answer(store, {"SET", std::string(1025, 'k'), "v"}).starts_with("-ERR the key"));
    CHECK(answer(store, {"PING"}) == "+PONG\r\n");
}
