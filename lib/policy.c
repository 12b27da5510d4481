/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"
#include <iicp/policy.h>
#include <iicp/urn.h>

#define FRAGMENTS_MAX 8

struct rule {
        enum iicp_risk risk;
        const char *id;
        const char *fragments[FRAGMENTS_MAX + 1];
};

/* In the order of the published file: the first rule with a fragment that occurs wins. */
static const struct rule rules[] = {
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-social-scoring",
         {"social-scoring", "social_scoring", "social:scoring"}},
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-criminal-risk",
         {"criminal-risk", "criminal_risk", "criminal:risk", "predict-crime"}},
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-workplace-education-emotion",
         {"emotion:workplace", "emotion:education", "workplace-monitoring", "education-monitoring",
          "worker-monitoring"}},
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-protected-trait-biometric",
         {"protected-trait", "protected_trait", "biometric:protected"}},
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-untargeted-face-scraping",
         {"untargeted-scraping", "untargeted_scraping", "face-scraping", "facial-scraping"}},
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-realtime-remote-biometric-id",
         {"remote-biometric:realtime", "realtime-remote-biometric", "real-time-remote-biometric"}},
        {IICP_RISK_PROHIBITED,
         "eu-ai-act-nonconsensual-sexual-deepfake",
         {"nonconsensual-sexual", "non-consensual-sexual", "child-sexual-abuse", "csam"}},
        {IICP_RISK_HIGH,
         "eu-ai-act-employment-workforce",
         {"employment:hiring", "employment:screen", "employment:rank", "recruitment:decision",
          "workforce:decision", "worker-management", "worker:performance", "worker:discipline"}},
        {IICP_RISK_HIGH,
         "eu-ai-act-education-admission-grading",
         {"education:admission", "education:grading", "education:grade", "student:admission",
          "student:assess", "exam-grading"}},
        {IICP_RISK_HIGH,
         "eu-ai-act-credit-essential-services",
         {"credit-scoring", "credit:score", "credit:decision", "essential-services",
          "benefits:eligibility", "public-benefit:eligibility"}},
        {IICP_RISK_HIGH,
         "eu-ai-act-law-enforcement-border-justice",
         {"law-enforcement", "law_enforcement", "migration:decision", "asylum:decision",
          "border-control", "justice:decision", "democratic-process", "election:decision"}},
        {IICP_RISK_HIGH,
         "eu-ai-act-healthcare-critical-infrastructure",
         {"healthcare:decision", "medical:diagnosis", "medical:triage", "clinical:decision",
          "critical-infrastructure", "grid:stabilize", "hospital:surge-capacity"}},
        {IICP_RISK_HIGH,
         "eu-ai-act-physical-world-control",
         {"robotics:control", "robotics:fleet", "drone:control", "drone:search", "iot:actuate",
          "physical-world", "system_control"}},
        {IICP_RISK_TRANSPARENCY,
         "eu-ai-act-ai-interaction",
         {"chatbot", "ai-assistant", "synthetic-media", "deepfake:labelled",
          "content:generate-public", "creative:generate"}},
};

static bool contains(struct iicp_str text, const char *fragment) {
        return memmem(text.p, text.n, fragment, strlen(fragment));
}

static enum iicp_risk risk_of_lower(struct iicp_str text, const char **ret_rule) {
        for (const struct rule *rule = rules; rule < rules + ARRAY_SIZE(rules); rule++)
                for (const char *const *f = rule->fragments; *f; f++)
                        if (contains(text, *f)) {
                                *ret_rule = rule->id;
                                return rule->risk;
                        }
        *ret_rule = NULL;
        return IICP_RISK_NONE;
}

enum iicp_risk iicp_risk_of(struct iicp_str urn, const char **ret_rule) {
        char lower[IICP_URN_MAX];
        const char *rule;
        enum iicp_risk risk;
        size_t n = MIN(urn.n, sizeof(lower)); /* a longer text is no URN and was refused as such */

        for (size_t i = 0; i < n; i++)
                lower[i] = (char) (urn.p[i] >= 'A' && urn.p[i] <= 'Z' ? urn.p[i] - 'A' + 'a'
                                                                      : urn.p[i]);
        risk = risk_of_lower((struct iicp_str){lower, n}, &rule);
        if (ret_rule)
                *ret_rule = rule;
        return risk;
}

const char *iicp_risk_name(enum iicp_risk risk) {
        switch (risk) {
        case IICP_RISK_PROHIBITED:
                return "prohibited";
        case IICP_RISK_HIGH:
                return "high_risk";
        case IICP_RISK_TRANSPARENCY:
                return "transparency_risk";
        case IICP_RISK_NONE:
                break;
        }
        return "";
}
