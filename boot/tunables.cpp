// See tunables.hpp.
#include "boot/tunables.hpp"

#include <optional>

#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

constexpr std::string_view kPrefix = "hw.";

/// A word `hw.DRIVER[.UNIT].NAME`, taken apart.
struct Word {
    std::string_view driver, name;
    std::optional<u32> unit;
};

std::optional<Word> take_apart(std::string_view key, const TunableGroup& group) {
    if (!key.starts_with(kPrefix)) return std::nullopt;
    key.remove_prefix(kPrefix.size());
    if (!key.starts_with(group.driver) || substring(key, group.driver.size(), 1) != ".") return std::nullopt;
    key.remove_prefix(group.driver.size() + 1);
    Word word{group.driver, key, std::nullopt};
    const usize dot = key.find('.');
    if (dot == key.npos) return word;
    word.unit = parse_number<u32>(substring(key, 0, dot));
    if (word.unit) word.name = substring(key, dot + 1);
    return word;
}

const Tunable* find(const TunableGroup& group, std::string_view name) {
    for (const Tunable& t : group.all)
        if (t.name == name) return &t;
    return nullptr;
}

std::optional<i64> parse_value(const Tunable& t, std::string_view text) {
    const bool negative = text.starts_with('-');
    const auto magnitude = parse_number<u32>(substring(text, negative ? 1 : 0));
    if (!magnitude) return std::nullopt;
    const i64 value = negative ? -i64{*magnitude} : i64{*magnitude};
    if (value < t.least || value > t.most) return std::nullopt;
    return value;
}

void check_word(const TunableGroup& group, const Word& word, std::string_view key,
                std::optional<std::string_view> value, TextSink complain) {
    char text[240];
    const std::string_view shown = substring(key, 0, 60);
    const Tunable* const t = find(group, word.name);
    if (t == nullptr)
        complain(format_to(text, "command line: {}: {} has no such tunable", shown, group.driver));
    else if (!parse_value(*t, value.value_or("")))
        complain(format_to(text, "command line: {}={} is not understood: a number from {} to {}", shown,
                           substring(value.value_or(""), 0, 40), t->least, t->most));
}

}  // namespace

void read_tunables(const CommandLine& line, const TunableGroup& group, u32 unit, void* settings) {
    for (const bool for_one_unit : {false, true}) {  // so that the word for one unit wins, wherever it stands
        line.for_each([&](std::string_view key, std::optional<std::string_view> value) {
            const auto word = take_apart(key, group);
            if (!word || !value || word->unit.has_value() != for_one_unit) return true;
            if (for_one_unit && *word->unit != unit) return true;
            const Tunable* const t = find(group, word->name);
            const auto number = t != nullptr ? parse_value(*t, *value) : std::nullopt;
            if (number) t->store(settings, *number);
            return true;
        });
    }
}

void check_tunables(const CommandLine& line, std::span<const TunableGroup* const> groups, TextSink complain) {
    line.for_each([&](std::string_view key, std::optional<std::string_view> value) {
        if (!key.starts_with(kPrefix)) return true;
        for (const TunableGroup* group : groups) {
            if (const auto word = take_apart(key, *group)) {
                check_word(*group, *word, key, value, complain);
                return true;
            }
        }
        char text[160];
        complain(
            format_to(text, "command line: {}: this image has no driver with such a tunable", substring(key, 0, 80)));
        return true;
    });
}

}  // namespace ringlet::boot
