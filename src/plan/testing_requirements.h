// Small random requirements for property tests, as the text of a file.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/prng.h"
#include "data/requirements_file.h"

namespace medley::plan {

inline const data::Catalog& test_catalog() {
  static const auto read = data::read_catalog("catalog");
  MEDLEY_CHECK(read.ok());
  return *read;
}

struct RandomRequirements {
  std::vector<std::string> demands, jobs, devices, services, limits;

  explicit RandomRequirements(std::uint64_t seed) {
    Prng prng = Prng::stream(seed, 1);
    const auto among = [&](auto... values) {
      const std::vector<std::string> all = {values...};
      return all[prng.below(all.size())];
    };
    const int asked = 1 + static_cast<int>(prng.below(3));
    for (int i = 0; i < asked; ++i) {
      const std::string of_class = among("guaranteed", "standard", "standard", "flex", "batch");
      std::string rates;
      // Now and then next to nothing.
      const double much = prng.below(8) == 0 ? 1e-9 : 1;
      const double day = much * (0.3 + 6 * prng.uniform()), night = day * prng.uniform();
      for (int hour = 0; hour < 24; ++hour)
        rates +=
            fmt::format("{}{:.4g}", hour == 0 ? "" : ", ", hour >= 8 && hour < 18 ? day : night);
      demands.push_back(fmt::format(
          "{{name: d{}, class: {}, model: {}, ttft_s: {}, {}rate_per_s: [{}], prompt_tokens: {}, "
          "output_tokens: {}}}",
          i, of_class, among("llama-3.1-8b", "llama-3.1-8b", "llama-3.1-70b"),
          among("2", "5", "20"),
          of_class == "batch"
              ? fmt::format("deadline_s: {}, ", among("1800", "9000", "30000", "86400", "86400"))
              : fmt::format("tpot_s: {}, ", among("8ms", "25ms", "50ms", "100ms")),
          rates, 100 + prng.below(1500), 20 + prng.below(300)));
    }
    const std::vector<std::string> kinds = {"h100_sxm", "l40s", "a100_80_sxm", "l4", "h200_sxm"};
    const bool two_zones = prng.below(4) == 0;
    Prng more = Prng::stream(seed, 4);
    const bool racks = more.below(4) == 0;
    Prng wider = Prng::stream(seed, 5);
    const int offered = 1 + static_cast<int>(prng.below(3));
    for (int i = 0; i < offered; ++i) {
      const bool rented = prng.below(4) == 0;
      const std::string per_node = among("1", "2", "3", "4", "6");
      std::string of =
          fmt::format("{{name: o{}, device: {}, {}: {}, per_node: {}, host_w: 100", i,
                      kinds[prng.below(kinds.size())], rented ? "rent_per_hour" : "price",
                      rented ? 0.5 + 4 * prng.uniform() : 3000 + 30000 * prng.uniform(), per_node);
      if (prng.below(4) == 0) {  // less than a node is none
        const int stock = 2 + static_cast<int>(prng.below(12));
        of += fmt::format(", stock: {}", stock < std::stoi(per_node) ? 0 : stock);
      }
      if (two_zones)
        of += ", zones: " + among("[here]", "[there]", "[here, there]");
      if (racks)  // of one, two or four nodes, and what is too little for another
        of += fmt::format(", per_rack: {}",
                          (std::stoi(per_node) << more.below(3)) + std::stoi(per_node) / 2);
      const char* odd[] = {"[3]", "[1, 3]", "[2, 3]"};
      if (more.below(5) == 0)
        of += fmt::format(", widths: {}", odd[more.below(3)]);
      if (!rented && wider.below(4) == 0)  // there already, with or without more to be had
        of += fmt::format(", owned: {}",
                          std::stoi(per_node) * (1 + static_cast<int>(wider.below(3))));
      devices.push_back(of + "}");
      if (i + 1 == offered && offered < 3 && wider.below(4) == 0) {  // the other way to have it
        const std::string own = rented ? "rent_per_hour: " : "price: ";
        const std::size_t at = of.find(own), end = of.find(',', at);
        of.replace(at, end - at,
                   rented ? fmt::format("price: {}", 3000 + 30000 * wider.uniform())
                          : fmt::format("rent_per_hour: {}", 0.5 + 4 * wider.uniform()));
        if (const std::size_t there = of.find(", owned: "); there != std::string::npos)
          of.erase(there, of.find_first_of(",}", there + 2) - there);
        of.replace(of.find("name: o"), 8, fmt::format("name: o{}", offered));
        devices.push_back(of + "}");
      }
    }
    const std::string here =
        racks ? fmt::format("here: {{racks: {}}}", 1 + more.below(3)) : std::string();
    draw_jobs(seed, kinds);
    if (two_zones) {  // now and then one that keeps work out of a zone
      for (std::vector<std::string>* of : {&demands, &jobs}) {
        for (std::string& item : *of) {
          if (wider.below(3) == 0)
            item.insert(item.size() - 1, wider.below(3) > 0 ? ", label: near" : ", label: far");
        }
      }
    }
    if (two_zones)
      limits.push_back(
          "zones: {there: {" + draw_zone(seed) + "}" + (racks ? ", " + here : "") +
          "}\nlabels: {any: {zones: any}, near: {zones: [here]}, far: {zones: [there]}}\n"
          "default_label: any");
    else if (racks)
      limits.push_back("zones: {" + here + "}");
    if (prng.below(3) == 0) {
      const std::string lost = two_zones ? among("zone", "node") : among("replica", "node");
      limits.push_back(fmt::format("redundancy: {{lose: {}, classes: [{}]}}", lost,
                                   among("guaranteed, standard", "standard, flex, batch")));
    }
    std::string money =
        prng.below(4) == 0 ? fmt::format("budget: {}", 50000 + prng.below(400000)) : "";
    if (wider.below(4) == 0)
      money +=
          fmt::format("{}staff_per_year: {}", money.empty() ? "" : ", ", 500 + wider.below(20000));
    if (wider.below(6) == 0)
      money += fmt::format("{}integration: 0.1", money.empty() ? "" : ", ");
    if (!money.empty())
      limits.push_back("money: {" + money + "}");
    if (wider.below(4) == 0)
      limits.push_back(fmt::format("growth: {{per_year: {:.2g}, years: {}}}", wider.uniform() - 0.2,
                                   1 + wider.below(3)));
    if (prng.below(3) == 0) {
      // Now and then a quota that a peak exceeds, and one that a day does.
      services.push_back(fmt::format(
          "{{name: api, model: llama-3.1-8b, zone: {}, metered: {{per_million_prompt: {:.3g}, "
          "per_million_output: {:.3g}, {}{}ttft_s: {{median: 300ms, sigma: 0.3}}, tpot_s: 12ms}}}}",
          two_zones ? among("here", "there") : "here", 0.02 + 0.3 * prng.uniform(),
          0.05 + 0.5 * prng.uniform(),
          prng.below(2) == 0 ? fmt::format("tokens_per_minute: {}, ", 20000 + prng.below(400000))
                             : "",
          prng.below(2) == 0 ? fmt::format("requests_per_day: {}, ", 5000 + prng.below(400000))
                             : ""));
    }
    power_ = prng.below(4) == 0 || (two_zones && wider.below(2) == 0)
                 ? fmt::format(", power_limit_kw: {}", 1 + prng.below(8))
                 : "";
  }

  std::string text() const {
    std::string out =
        "site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3" + power_ + "}\n";
    for (const std::string& limit : limits)
      out += limit + "\n";
    const auto list = [&](const char* key, const std::vector<std::string>& items) {
      out += std::string(key) + ":\n";
      for (const std::string& item : items)
        out += "  - " + item + "\n";
    };
    if (!demands.empty())
      list("demands", demands);
    list("devices", devices);
    if (!jobs.empty())
      list("jobs", jobs);
    if (!services.empty())
      list("services", services);
    return out;
  }

  data::Requirements read() const {
    auto read = data::parse_requirements(text(), "random.yaml", test_catalog());
    MEDLEY_CHECK(read.ok(), read.error().message);
    return std::move(read).value();
  }

 private:
  // What another zone than the site's states of its own.
  static std::string draw_zone(std::uint64_t seed) {
    Prng prng = Prng::stream(seed, 3);
    std::string own = prng.below(2) == 0 ? "pue: 1.1" : "pue: 1.8";
    if (prng.below(2) == 0)
      own += ", tariff: 0.6";
    if (prng.below(3) == 0)
      own += fmt::format(", power_limit_kw: {}", 1 + prng.below(8));
    return prng.below(3) == 0 ? "" : own;
  }
  // One or two in every other file, on kinds that may or may not be offered.
  void draw_jobs(std::uint64_t seed, const std::vector<std::string>& kinds) {
    Prng prng = Prng::stream(seed, 2);
    const std::size_t asked = prng.below(2) == 0 ? 0 : 1 + prng.below(2);
    for (std::size_t i = 0; i < asked; ++i) {
      std::string more;
      switch (prng.below(4)) {
        case 0:
          break;
        case 1:
          more += fmt::format(", every_days: {}", 2 + prng.below(5));
          break;
        case 2:
          more += fmt::format(", every_days: 4, deadline_days: {}", 1 + prng.below(3));
          break;
        default:
          more +=
              fmt::format(", deadline_days: {}, start_day: {}", 1 + prng.below(2), prng.below(2));
      }
      if (prng.below(2) == 0)
        more += ", between: [18, 8]";
      if (prng.below(3) == 0)
        more += fmt::format(", gang: {}", 1 + prng.below(4));
      const double hours = 4 + 60 * prng.uniform();
      std::string on;
      for (const std::string& kind : kinds) {
        if (prng.below(3) > 0)
          on += fmt::format("{}{}: {:.3g}", on.empty() ? "" : ", ", kind,
                            hours * (0.6 + prng.uniform()));
      }
      if (!on.empty())
        jobs.push_back(fmt::format("{{name: j{}, device_hours: {{{}}}{}}}", i, on, more));
    }
  }

  std::string power_;
};

}  // namespace medley::plan
