// Days since 1970-01-01 and dates of the proleptic Gregorian calendar, in both directions: days are counted in eras of
// 400 years that begin on a 1 March, so that the leap day comes last. Context: any; values only.
#pragma once

#include "lib/types.hpp"

namespace ringlet {

struct CivilDate {
    i64 year = 1970;
    u32 month = 1, day = 1;  ///< both from 1
    friend constexpr bool operator==(const CivilDate&, const CivilDate&) = default;
};

constexpr i64 days_from_civil(CivilDate date) {
    const i64 year = date.month <= 2 ? date.year - 1 : date.year;
    const i64 era = (year >= 0 ? year : year - 399) / 400;
    const i64 of_era = year - era * 400;
    const i64 of_year = (153 * ((i64{date.month} + 9) % 12) + 2) / 5 + date.day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

constexpr CivilDate civil_from_days(i64 days) {
    days += 719468;
    const i64 era = (days >= 0 ? days : days - 146096) / 146097;
    const i64 of_era = days - era * 146097;
    const i64 year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const i64 of_year = of_era - (365 * year + year / 4 - year / 100);
    const i64 shifted = (5 * of_year + 2) / 153;  // March is 0
    const i64 month = shifted < 10 ? shifted + 3 : shifted - 9;
    return {year + era * 400 + (month <= 2), static_cast<u32>(month),
            static_cast<u32>(of_year - (153 * shifted + 2) / 5 + 1)};
}
static_assert(days_from_civil({2000, 2, 29}) == 11016 && civil_from_days(11016) == CivilDate{2000, 2, 29});

}  // namespace ringlet
