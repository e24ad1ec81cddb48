#include "kernel/performance_manager.h"

#include <fmt/chrono.h>

#include <algorithm>

#include "kernel/faults.h"

namespace virga::kernel {
namespace {

constexpr auto kKept = std::chrono::hours(1);

vim::PerfCounterInfo describe(const CounterDefinition& definition) {
  const auto element = [](vim::ElementDescription& into, const std::string& key,
                          const std::string& label) {
    into.key = key;
    into.label = into.summary = label;
  };
  vim::PerfCounterInfo info;
  info.key = definition.key;
  element(info.nameInfo.edit(), definition.name, definition.label);
  element(info.groupInfo.edit(), definition.group, definition.group);
  element(info.unitInfo.edit(), definition.unit, definition.unit_label);
  info.rollupType = definition.rollup;
  info.statsType = definition.stats;
  info.level = 1;
  info.perDeviceLevel = 1;
  return info;
}

// Whether a query for `asked` means this metric: "*" is every instance, "" the aggregate.
bool means(const vim::PerfMetricId& asked, const std::pair<int, std::string>& metric) {
  return asked.counterId == metric.first &&
         (asked.instance == "*" || asked.instance == metric.second);
}

std::string iso_time(model::Time at) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

}  // namespace

PerformanceManager::PerformanceManager(Kernel& kernel, MoRef self,
                                       std::vector<CounterDefinition> counters)
    : Implements(kernel.inventory, std::move(self), [&] {
        Properties properties;
        for (const auto& counter : counters) properties.perfCounter.push_back(describe(counter));
        vim::PerfInterval real_time;
        real_time.key = 1;
        real_time.samplingPeriod = kSampleSeconds;
        real_time.name = "Past hour";
        real_time.length = static_cast<std::int32_t>(std::chrono::seconds(kKept).count());
        real_time.level = 1;
        real_time.enabled = true;
        properties.historicalInterval.push_back(std::move(real_time));
        return properties;
      }()), kernel_(kernel) {}

void PerformanceManager::record(const MoRef& entity, model::Time at, Sample sample) {
  auto& samples = samples_[entity.value];
  samples.push_back({at, std::move(sample)});
  while (samples.front().at < at - kKept) samples.pop_front();
  std::erase_if(samples_, [&](const auto& entry) { return entry.second.back().at < at - kKept; });
}

void PerformanceManager::check_readable(model::Call& call, const MoRef& entity) const {
  const auto object = kernel_.inventory.get(entity);
  kernel_.authorization.check(kernel_.inventory, context(call).user(), *object, "System.Read");
}

Async<model::Ptr<vim::PerfProviderSummary>> PerformanceManager::QueryPerfProviderSummary(
    model::Call& call, const vim::QueryPerfProviderSummaryRequestType& r) {
  check_readable(call, r.entity);
  vim::PerfProviderSummary summary;
  summary.entity = r.entity;
  summary.currentSupported = r.entity.type == "HostSystem" || r.entity.type == "VirtualMachine";
  summary.summarySupported = false;
  if (summary.currentSupported) summary.refreshRate = kSampleSeconds;
  co_return model::share(std::move(summary));
}

Async<model::List<vim::PerfMetricId>> PerformanceManager::QueryAvailablePerfMetric(
    model::Call& call, const vim::QueryAvailablePerfMetricRequestType& r) {
  check_readable(call, r.entity);
  model::List<vim::PerfMetricId> available;
  const auto found = samples_.find(r.entity.value);
  if (found == samples_.end()) co_return available;
  std::set<std::pair<int, std::string>> metrics;
  for (const Timed& sample : found->second)
    for (const auto& [metric, value] : sample.values) metrics.insert(metric);
  for (const auto& [counter, instance] : metrics) {
    auto& id = available.emplace_back();
    id.counterId = counter;
    id.instance = instance;
  }
  co_return available;
}

Async<model::List<vim::PerfCounterInfo>> PerformanceManager::QueryPerfCounter(
    model::Call&, const vim::QueryPerfCounterRequestType& r) {
  model::List<vim::PerfCounterInfo> found;
  for (const std::int32_t key : r.counterId) {
    const std::size_t before = found.size();
    for (const auto& counter : properties().perfCounter)
      if (counter->key == key) found.push_back(counter);
    if (found.size() == before)
      throw invalid_argument("counterId", fmt::format("there is no counter {}", key));
  }
  co_return found;
}

Async<model::List<vim::PerfCounterInfo>> PerformanceManager::QueryPerfCounterByLevel(
    model::Call&, const vim::QueryPerfCounterByLevelRequestType& r) {
  if (r.level < 1 || r.level > 4)
    throw invalid_argument("level", fmt::format("{} is not 1 to 4", r.level));
  model::List<vim::PerfCounterInfo> found;
  for (const auto& counter : properties().perfCounter)
    if (counter->level.value_or(1) <= r.level) found.push_back(counter);
  co_return found;
}

model::Ptr<vim::PerfEntityMetricBase> PerformanceManager::query(
    const vim::PerfQuerySpec& spec) const {
  std::vector<const Timed*> chosen;
  const auto found = samples_.find(spec.entity.value);
  if (found != samples_.end()) {
    for (const Timed& sample : found->second) {
      if (spec.startTime && sample.at <= *spec.startTime) continue;
      if (spec.endTime && sample.at > *spec.endTime) continue;
      chosen.push_back(&sample);
    }
  }
  if (spec.maxSample && *spec.maxSample > 0 && chosen.size() > static_cast<std::size_t>(*spec.maxSample))
    chosen.erase(chosen.begin(), chosen.end() - *spec.maxSample);
  std::set<std::pair<int, std::string>> metrics;
  for (const Timed* sample : chosen) {
    for (const auto& [metric, value] : sample->values) {
      bool wanted = spec.metricId.empty();
      for (const auto& asked : spec.metricId) wanted = wanted || means(*asked, metric);
      if (wanted) metrics.insert(metric);
    }
  }
  const auto value_at = [](const Timed& sample, const auto& metric) {
    const auto value = sample.values.find(metric);
    return value == sample.values.end() ? std::int64_t{-1} : value->second;    // -1: none
  };
  if (spec.format.value_or("normal") == "csv") {
    vim::PerfEntityMetricCSV answer;
    answer.entity = spec.entity;
    for (const Timed* sample : chosen) {
      if (!answer.sampleInfoCSV.empty()) answer.sampleInfoCSV += ',';
      answer.sampleInfoCSV += fmt::format("{},{}", kSampleSeconds, iso_time(sample->at));
    }
    for (const auto& metric : metrics) {
      auto& series = answer.value.emplace_back();
      series.id.counterId = metric.first;
      series.id.instance = metric.second;
      std::string text;
      for (const Timed* sample : chosen)
        text += (text.empty() ? "" : ",") + std::to_string(value_at(*sample, metric));
      series.value = std::move(text);
    }
    return model::share(std::move(answer));
  }
  vim::PerfEntityMetric answer;
  answer.entity = spec.entity;
  for (const Timed* sample : chosen) {
    auto& info = answer.sampleInfo.emplace_back();
    info.timestamp = sample->at;
    info.interval = kSampleSeconds;
  }
  for (const auto& metric : metrics) {
    vim::PerfMetricIntSeries series;
    series.id.counterId = metric.first;
    series.id.instance = metric.second;
    for (const Timed* sample : chosen) series.value.push_back(value_at(*sample, metric));
    answer.value.push_back(model::Ptr<vim::PerfMetricSeries>(model::share(std::move(series))));
  }
  return model::share(std::move(answer));
}

Async<model::List<vim::PerfEntityMetricBase>> PerformanceManager::QueryPerf(
    model::Call& call, const vim::QueryPerfRequestType& r) {
  model::List<vim::PerfEntityMetricBase> answer;
  for (const auto& spec : r.querySpec) {
    check_readable(call, spec->entity);
    answer.push_back(query(*spec));
  }
  co_return answer;
}

Async<model::Ptr<vim::PerfCompositeMetric>> PerformanceManager::QueryPerfComposite(
    model::Call& call, const vim::QueryPerfCompositeRequestType& r) {
  check_readable(call, r.querySpec.entity);
  vim::PerfCompositeMetric answer;
  answer.entity = query(r.querySpec);
  const auto object = kernel_.inventory.get(r.querySpec.entity);
  const DataPtr snapshot = object->snapshot();
  if (model::is_a(snapshot->type_info(), vim::HostSystemProperties::static_type())) {
    for (const MoRef& vm : static_cast<const vim::HostSystemProperties&>(*snapshot).vm) {
      vim::PerfQuerySpec of_vm(r.querySpec);
      of_vm.entity = vm;
      answer.childEntity.push_back(query(of_vm));
    }
  }
  co_return model::share(std::move(answer));
}

}  // namespace virga::kernel
