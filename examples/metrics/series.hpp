// What has been measured, by name: the lines of StatsD in, the text of Prometheus out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

class Series {
public:
    static constexpr std::size_t kMostNames = 1000, kMostName = 200, kRemembered = 256;

    /// A datagram: one line for each measurement. What is no measurement is counted as such and left alone.
    void take(std::string_view datagram);
    /// In the text format of Prometheus, version 0.0.4.
    std::string text() const;

private:
    struct Timing {
        std::uint64_t count = 0;
        double sum = 0;
        std::vector<double> last;  ///< the newest, in a ring
    };
    bool take_line(std::string_view line);
    template <class T> T* find_or_make(std::map<std::string, T>& all, std::string_view name);

    std::map<std::string, double> counters_, gauges_;
    std::map<std::string, Timing> timings_;
    std::uint64_t lines_ = 0, refused_ = 0;
};
