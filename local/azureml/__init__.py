"""Azure ML on a laptop: what Azurite is for storage, this is for a workspace.

One process and one TLS port on loopback speak the part of Azure Resource Manager and of the workspace's REST API that
the azure-ai-ml SDK calls, run command jobs, serve deployments with Microsoft's inference server, and route scoring
requests.

    config, errors, arm      settings, ARM's error shape, dispatch of its routes
    store, tokens, blobs     persistence, signed access tokens, Azurite
    workspace, assets, references   workspace, datastores, versioned assets and the ways to refer to them
    jobs, runs, history      command jobs, their processes, run history
    sweeps, sampling, policies, metrics   sweep jobs, their trials, what trials log
    operations, endpoints, deployments   online endpoints
    fleet, serving, router   inference servers and the scoring plane
    app, launch              the HTTP application; starting it as a child process
"""
