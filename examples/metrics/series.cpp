#include "series.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>

namespace {

/// The part up to `mark`, which is taken off together with it.
std::string_view cut(std::string_view& text, char mark) {
    const std::size_t end = std::min(text.find(mark), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

std::optional<double> number(std::string_view text) {
    double value = 0;
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (bad != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
    return value;
}

/// Prometheus' names have letters, digits and _ only, and no digit in front.
std::string name_of(std::string_view name) {
    std::string clean(name);
    for (char& c : clean)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    if (!clean.empty() && std::isdigit(static_cast<unsigned char>(clean[0]))) clean.insert(0, 1, '_');
    return clean;
}

}  // namespace

void Series::take(std::string_view datagram) {
    while (!datagram.empty()) {
        const std::string_view line = cut(datagram, '\n');
        if (line.empty()) continue;
        ++lines_;
        if (!take_line(line)) ++refused_;
    }
}

template <class T> T* Series::find_or_make(std::map<std::string, T>& all, std::string_view name) {
    std::string clean = name_of(name);
    if (const auto found = all.find(clean); found != all.end()) return &found->second;
    if (counters_.size() + gauges_.size() + timings_.size() >= kMostNames) return nullptr;
    return &all[std::move(clean)];
}

/// name:value|kind, and for a counter |@rate: the share of the events that are told.
bool Series::take_line(std::string_view line) {
    const std::string_view name = cut(line, ':'), text = cut(line, '|'), kind = cut(line, '|');
    const auto value = number(text);
    if (name.empty() || name.size() > kMostName || !value) return false;
    if (kind == "c") {
        const auto rate = line.starts_with('@') ? number(line.substr(1)) : 1;
        if (!rate || *rate <= 0 || *rate > 1) return false;
        double* counter = find_or_make(counters_, name);
        if (counter != nullptr) *counter += *value / *rate;
        return counter != nullptr;
    }
    if (kind == "g") {
        double* gauge = find_or_make(gauges_, name);
        const bool relative = text[0] == '+' || text[0] == '-';
        if (gauge != nullptr) *gauge = relative ? *gauge + *value : *value;
        return gauge != nullptr;
    }
    if (kind != "ms") return false;
    Timing* timing = find_or_make(timings_, name);
    if (timing == nullptr) return false;
    if (timing->last.size() < kRemembered)
        timing->last.push_back(*value);
    else
        timing->last[timing->count % kRemembered] = *value;
    ++timing->count;
    timing->sum += *value;
    return true;
}

std::string Series::text() const {
    std::ostringstream to;
    to.precision(15);
    for (const auto& [name, value] : counters_) to << "# TYPE " << name << " counter\n" << name << ' ' << value << '\n';
    for (const auto& [name, value] : gauges_) to << "# TYPE " << name << " gauge\n" << name << ' ' << value << '\n';
    for (const auto& [name, timing] : timings_) {
        to << "# TYPE " << name << " summary\n";
        std::vector<double> sorted = timing.last;
        std::ranges::sort(sorted);
        for (const double q : {0.5, 0.9, 0.99}) {
            const auto at = static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5);
            to << name << "{quantile=\"" << q << "\"} " << sorted[at] << '\n';
        }
        to << name << "_sum " << timing.sum << '\n' << name << "_count " << timing.count << '\n';
    }
    to << "# TYPE metrics_lines counter\nmetrics_lines " << lines_ << '\n';
    to << "# TYPE metrics_lines_refused counter\nmetrics_lines_refused " << refused_ << '\n';
    return to.str();
}
