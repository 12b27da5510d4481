# tokens, delegations, manifests, receipts
