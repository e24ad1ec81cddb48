// PerformanceManager: counters, and the samples of the last hour that a daemon recorded.
#pragma once

#include <deque>
#include <map>

#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// A counter as vSphere names it: group "cpu", name "usage", rollup average is "cpu.usage.average".
struct CounterDefinition {
  int key = 0;
  std::string group, name, label;
  std::string unit, unit_label;    // "percent", "%"; percentages are in hundredths
  vim::PerfSummaryType rollup = vim::PerfSummaryType::average;
  vim::PerfStatsType stats = vim::PerfStatsType::rate;
};

// Seconds between two samples: the one interval that is kept, vSphere's "real time".
constexpr int kSampleSeconds = 20;

class PerformanceManager final : public Implements<vim::PerformanceManager> {
 public:
  PerformanceManager(Kernel& kernel, MoRef self, std::vector<CounterDefinition> counters);

  // Values by counter and instance ("" is the whole object's aggregate).
  using Sample = std::map<std::pair<int, std::string>, std::int64_t>;
  // Adds one sample of an entity. Those older than an hour are dropped, and so are the samples of
  // entities that are no more.
  void record(const MoRef& entity, model::Time at, Sample sample);

  Async<model::Ptr<vim::PerfProviderSummary>> QueryPerfProviderSummary(
      model::Call&, const vim::QueryPerfProviderSummaryRequestType&) override;
  Async<model::List<vim::PerfMetricId>> QueryAvailablePerfMetric(
      model::Call&, const vim::QueryAvailablePerfMetricRequestType&) override;
  Async<model::List<vim::PerfCounterInfo>> QueryPerfCounter(
      model::Call&, const vim::QueryPerfCounterRequestType&) override;
  Async<model::List<vim::PerfCounterInfo>> QueryPerfCounterByLevel(
      model::Call&, const vim::QueryPerfCounterByLevelRequestType&) override;
  Async<model::List<vim::PerfEntityMetricBase>> QueryPerf(
      model::Call&, const vim::QueryPerfRequestType&) override;
  Async<model::Ptr<vim::PerfCompositeMetric>> QueryPerfComposite(
      model::Call&, const vim::QueryPerfCompositeRequestType&) override;

 private:
  struct Timed {
    model::Time at;
    Sample values;
  };
  // Throws ManagedObjectNotFound, NoPermission.
  void check_readable(model::Call& call, const MoRef& entity) const;
  model::Ptr<vim::PerfEntityMetricBase> query(const vim::PerfQuerySpec& spec) const;

  Kernel& kernel_;
  std::map<std::string, std::deque<Timed>> samples_;    // by moId
};

}  // namespace virga::kernel
