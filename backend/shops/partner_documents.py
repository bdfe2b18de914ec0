"""The queries of the Partner API, version 2026-07.

Of events, always ask for both ends of the time: with one, Shopify answers 30 days.
"""

# Beside the contract, whether it is frozen: the last of these events says it.
CONTRACT = """
query ShopContract($app: ID!, $shop: ID!, $since: DateTime!, $until: DateTime!) {
  activeSubscription(appId: $app, shopId: $shop) {
    shop { id }
    billingPeriod
    trialEndsAt
    currentBillingCycle { startTime endTime }
    items { handle description }
  }
  events(
    first: 1
    orderBy: OCCURRED_AT_DESC
    filter: {
      subjectId: $app
      shopId: $shop
      occurredAtMin: $since
      occurredAtMax: $until
      eventTypes: [
        SUBSCRIPTION_CREATED
        SUBSCRIPTION_FROZEN
        SUBSCRIPTION_UNFROZEN
        SUBSCRIPTION_CANCELED
      ]
    }
  ) {
    edges { node { id eventType occurredAt } }
    pageInfo { hasNextPage endCursor }
  }
}
"""

HISTORY_PAGE = """
query AppEvents($filter: EventFilterInput!, $first: Int!, $after: String) {
  events(first: $first, after: $after, orderBy: OCCURRED_AT_ASC, filter: $filter) {
    edges {
      node {
        id
        eventType
        occurredAt
        shop { id }
        ... on Charge { chargeId metadata { legacyChargeId } amount { amount currencyCode } }
        ... on Earning {
          earnedFor: chargeId
          metadata { legacyChargeId }
          amount: grossAmount { amount currencyCode }
        }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
