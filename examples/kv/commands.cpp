#include "commands.hpp"

#include <algorithm>
#include <cctype>
#include <system_error>

#include "resp.hpp"

namespace {

using Words = std::vector<std::string>;

std::string in_upper_case(std::string word) {
    std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return word;
}

std::string ping(Store&, const Words& w) {
    return w.size() > 1 ? bulk(w[1]) : simple("PONG");
}
std::string echo(Store&, const Words& w) {
    return bulk(w[1]);
}
std::string get(Store& store, const Words& w) {
    const auto value = store.get(w[1]);
    return value ? bulk(*value) : nil();
}
std::string set(Store& store, const Words& w) {
    if (w[1].size() > Store::kMaxKey) return error("the key is longer than 1024 bytes");
    store.set(w[1], w[2]);
    return simple("OK");
}
std::string del(Store& store, const Words& w) {
    return number(std::count_if(w.begin() + 1, w.end(), [&](const std::string& key) { return store.erase(key); }));
}
std::string exists(Store& store, const Words& w) {
    return number(
        std::count_if(w.begin() + 1, w.end(), [&](const std::string& key) { return store.get(key).has_value(); }));
}
std::string dbsize(Store& store, const Words&) {
    return number(static_cast<long long>(store.facts().keys));
}
std::string keys(Store& store, const Words& w) {
    return w[1] == "*" ? array(store.keys()) : error("the only pattern is *");
}
std::string info(Store& store, const Words&) {
    const Store::Facts f = store.facts();
    return bulk("# kv\r\nkeys:" + std::to_string(f.keys) + "\r\nlog_bytes:" + std::to_string(f.log_bytes) +
                "\r\nlive_bytes:" + std::to_string(f.live_bytes) + "\r\nsyncs:" + std::to_string(f.syncs) +
                "\r\ndropped_bytes:" + std::to_string(f.dropped_bytes) + "\r\n");
}
/// redis-cli and redis-benchmark ask, and can do without.
std::string nothing(Store&, const Words&) {
    return array({});
}

struct Command {
    const char* name;
    std::size_t least, most;  ///< words, its name among them
    std::string (*run)(Store&, const Words&);
};
constexpr Command kCommands[] = {
    {"PING", 1, 2, ping},  {"ECHO", 2, 2, echo},          {"GET", 2, 2, get},           {"SET", 3, 3, set},
    {"DEL", 2, 1024, del}, {"EXISTS", 2, 1024, exists},   {"DBSIZE", 1, 1, dbsize},     {"KEYS", 2, 2, keys},
    {"INFO", 1, 2, info},  {"COMMAND", 1, 1024, nothing}, {"CONFIG", 2, 1024, nothing},
};

}  // namespace

std::string answer(Store& store, const std::vector<std::string>& words) {
    const std::string name = in_upper_case(words[0]);
    const auto command = std::ranges::find_if(kCommands, [&](const Command& c) { return name == c.name; });
    if (command == std::end(kCommands)) return error("unknown command '" + words[0].substr(0, 64) + "'");
    if (words.size() < command->least || words.size() > command->most)
        return error("wrong number of arguments for '" + words[0] + "'");
    try {
        return command->run(store, words);
    } catch (const std::system_error& e) {
        return error(e.what());
    }
}
